"""Films of camera paths: jobs that wait, are rendered beside people's pictures, and are kept for a time."""
