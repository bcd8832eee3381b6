"""How fast an artefact is and what it takes: `profile` asks, `measure` is the process that answers."""
