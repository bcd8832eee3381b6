"""A city in blocks: the record of it, a model cut by cells and composed again, plans of blocks to train."""
