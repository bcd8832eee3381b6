"""Where jobs run: processes of this machine, a Ray cluster, or a scheduler that takes a script."""
