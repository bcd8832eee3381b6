"""The commands of `neurocity-export` beside the export itself, one module each."""
