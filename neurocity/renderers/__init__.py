"""What renders a camera for a command: a checkpoint's model, or an artefact of a model repository.

`opening` tells which one a path is; `checkpoint_renderer`, `native_renderer` and `onnx_renderer` are the
kinds.
"""
