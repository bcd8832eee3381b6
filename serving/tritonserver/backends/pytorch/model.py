"""Triton backend `pytorch`, python-based: runs a TorchScript `model.pt` with PyTorch.

It takes the `config.pbtxt` of NVIDIA's C++ backend of that name: inputs by the argument names of `forward`,
outputs as `<name>__<index>` (the index in the returned tuple), the parameter `INTRA_OP_THREAD_COUNT`.
"""

import warnings
from typing import Any

import torch
import triton_python_backend_utils as pb_utils
from neurocity_backend import Arrays, Instance, answer, check_names


class TritonPythonModel:
    """One instance of a model. Triton makes `instance_group.count` of them, each in a process of its own."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the module; raises TritonModelException when file, configuration and machine do not fit."""
        instance = Instance.from_arguments(arguments, default_file="model.pt")
        if threads := instance.integer_parameter("INTRA_OP_THREAD_COUNT", 0):
            torch.set_num_threads(threads)
        self._device = "cpu" if instance.device_id is None else f"cuda:{instance.device_id}"
        self._module = load_module(instance, self._device)
        self._arguments = [item.name for item in self._module.forward.schema.arguments[1:]]
        check_names("inputs", instance.inputs, self._arguments)
        self._indices = {tensor.name: output_index(tensor.name) for tensor in instance.outputs}

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order."""
        return [answer(request, self._run) for request in requests]

    def _run(self, inputs: Arrays, names: list[str]) -> Arrays:
        with torch.inference_mode():
            tensors = {name: torch.from_numpy(array).to(self._device) for name, array in inputs.items()}
            outputs = self._module(**tensors)
            return {name: outputs[self._indices[name]].cpu().numpy() for name in names}


def load_module(instance: Instance, device: str) -> Any:
    """The module on the instance's device, in eval mode; raises TritonModelException."""
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated as a whole; the artefact is one all the same.
            warnings.simplefilter("ignore", DeprecationWarning)
            return torch.jit.load(instance.artefact, map_location=device).eval()
    except Exception as error:  # a broken archive or an absent device raises anything
        raise pb_utils.TritonModelException(f"{instance.artefact}: {error}") from error


def output_index(name: str) -> int:
    """The index in `<name>__<index>`; raises TritonModelException when there is none."""
    index = name.rpartition("__")[2]
    if not index.isdigit():
        raise pb_utils.TritonModelException(f"output {name!r}: expected a name of the form <name>__<index>")
    return int(index)
