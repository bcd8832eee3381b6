"""Blocks of a planned city trained apart: what is asked for, one job, and who runs many."""
