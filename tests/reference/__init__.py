"""Slow and obvious second implementations that the fast ones are compared with."""
