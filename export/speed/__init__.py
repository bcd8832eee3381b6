"""How fast an artefact is and what it takes, measured in a process of its own."""
