"""A trained city as artefacts that compose: each part exported and proved, and the whole compared."""
