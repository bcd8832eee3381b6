"""What operators see: the log and its request ids, and metrics for Prometheus."""
