"""The ONNX graph: traced, rewritten, opened."""
