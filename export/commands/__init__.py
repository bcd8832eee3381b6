"""The subcommands of `neurocity-export`: each module here is one, by its file name with `-` for `_`."""
