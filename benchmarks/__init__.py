"""Commands that measure NeuroCity and print tables; results stand in docs/results.md."""
