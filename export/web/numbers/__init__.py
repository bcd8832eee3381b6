"""Numbers as whole numbers of some bits, as planes of bytes, and these compressed."""
