"""What a machine with a GPU makes of NeuroCity, in one command: `python -m benchmarks.gpu`."""
