"""A Triton Inference Server from a wheel: `python -m serving.tritonserver --repository DIR`."""
