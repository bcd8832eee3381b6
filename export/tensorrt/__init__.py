"""ONNX render graphs to TensorRT engines."""
