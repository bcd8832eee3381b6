"""Which versions of scenes there are, and which of them are loaded: found, proved, swapped, unloaded."""
