"""Is an artefact the model? Knows renderers, and no format."""
