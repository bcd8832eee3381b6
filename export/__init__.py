"""Checkpoint to artefacts that are proved equal to the model (the `neurocity-export` command)."""
