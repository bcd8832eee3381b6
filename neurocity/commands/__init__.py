"""What the subcommands of `neurocity` do; their arguments are in `neurocity.cli`."""
