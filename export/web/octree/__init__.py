"""Cells in the order of the file, the corners that they share, and inner cells made to be drawn."""
