"""NeuroCity: the way from a radiance-field training run to a URL."""
