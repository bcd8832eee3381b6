"""Triton backend `onnxruntime`, python-based: runs `model.onnx` with ONNX Runtime.

It takes the `config.pbtxt` of NVIDIA's C++ backend of that name: inputs and outputs by their names in the
graph, instances on CPU or GPU, and the parameters `intra_op_thread_count` and `inter_op_thread_count`. Unlike
the C++ backend it stops a run whose request was cancelled.
"""

from typing import Any

import onnxruntime
import triton_python_backend_utils as pb_utils
from neurocity_backend import Arrays, Instance, answer, check_names, when_cancelled


class TritonPythonModel:
    """One instance of a model. Triton makes `instance_group.count` of them, each in a process of its own."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Open the session; raises TritonModelException when file, configuration and machine do not fit."""
        instance = Instance.from_arguments(arguments, default_file="model.onnx")
        self._session = open_session(instance)
        check_names("inputs", instance.inputs, [item.name for item in self._session.get_inputs()])
        check_names("outputs", instance.outputs, [item.name for item in self._session.get_outputs()])

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        options = onnxruntime.RunOptions()

        def run(inputs: Arrays, names: list[str]) -> Arrays:
            return dict(zip(names, self._session.run(names, inputs, options), strict=True))

        def stop() -> None:
            options.terminate = True

        with when_cancelled(request, stop):
            return answer(request, run)


def open_session(instance: Instance) -> onnxruntime.InferenceSession:
    """A session on the instance's device, and on no other; raises TritonModelException."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = instance.integer_parameter("intra_op_thread_count", 0)
    options.inter_op_num_threads = instance.integer_parameter("inter_op_thread_count", 0)
    provider = "CPUExecutionProvider" if instance.device_id is None else "CUDAExecutionProvider"
    available = onnxruntime.get_available_providers()
    if provider not in available:
        raise pb_utils.TritonModelException(
            f"the instance is placed on a GPU, but this ONNX Runtime has only {', '.join(available)}; "
            "install onnxruntime-gpu, or start the server with --device cpu"
        )
    placement = {} if instance.device_id is None else {"device_id": instance.device_id}
    try:
        session = onnxruntime.InferenceSession(instance.artefact, options, providers=[(provider, placement)])
    except Exception as error:  # ONNX Runtime's exceptions have no common base
        raise pb_utils.TritonModelException(f"{instance.artefact}: {error}") from error
    session.disable_fallback()
    if session.get_providers()[0] != provider:
        raise pb_utils.TritonModelException(f"asked for {provider}, got {session.get_providers()[0]}")
    return session
