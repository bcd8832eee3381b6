"""Subcommands of `neurocity-export`, each with a `main` of its own."""
