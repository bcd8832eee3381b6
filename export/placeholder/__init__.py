"""A model of Triton's python backend in place of an artefact that no server renders, see `target`."""
