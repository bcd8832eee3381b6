"""HTTP gateway: camera requests to images (the `neurocity-serve` command). Imports no torch."""
