"""What one export is, and running it."""
