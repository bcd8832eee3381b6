"""PyTorch's own archives."""
