"""The gateway as a process: its listener, its connections and their limits, its end."""
