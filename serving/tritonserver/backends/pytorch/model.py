"""Triton backend `pytorch`, python-based: runs a TorchScript `model.pt`, or an AOTInductor `model.pt2`.

It takes the `config.pbtxt` of NVIDIA's C++ backend of that name. With the platform `pytorch_libtorch` inputs
have the argument names of `forward` and outputs the form `<name>__<index>` (the index in the returned tuple);
with `torch_aoti` they are `INPUT__<index>` and `OUTPUT__<index>`. Both heed the parameter
`INTRA_OP_THREAD_COUNT`.
"""

import json
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch._inductor
import triton_python_backend_utils as pb_utils
from neurocity_backend import Arrays, Instance, answer, check_names
from numpy.typing import NDArray

from neurocity.triton_names import index_in, input_name

Module = Callable[[Arrays], Sequence[torch.Tensor]]
"""Inputs by name -> the tuple that the artefact returns, on its device."""


class TritonPythonModel:
    """One instance of a model. Triton makes `instance_group.count` of them, each in a process of its own."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Load the module; raises TritonModelException when file, configuration and machine do not fit."""
        compiled = json.loads(arguments["model_config"])["platform"] == "torch_aoti"
        instance = Instance.from_arguments(arguments, default_file="model.pt2" if compiled else "model.pt")
        if threads := instance.integer_parameter("INTRA_OP_THREAD_COUNT", 0):
            torch.set_num_threads(threads)
        # Servers older than the platform refuse its name, so the file speaks for itself.
        load = load_package if instance.artefact.suffix == ".pt2" else load_module
        self._module = load(instance)
        self._indices = {name: output_index(name) for name in instance.outputs}

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order."""
        return [answer(request, self._run) for request in requests]

    def _run(self, inputs: Arrays, names: list[str]) -> Arrays:
        with torch.inference_mode():
            outputs = self._module(inputs)
            return {name: outputs[self._indices[name]].cpu().numpy() for name in names}


def load_module(instance: Instance) -> Module:
    """A TorchScript module on the instance's device, in eval mode; raises TritonModelException."""
    try:
        with warnings.catch_warnings():
            # TorchScript is deprecated as a whole; the artefact is one all the same.
            warnings.simplefilter("ignore", DeprecationWarning)
            module = torch.jit.load(instance.artefact, map_location=instance.device).eval()
    except Exception as error:  # a broken archive or an absent device raises anything
        raise pb_utils.TritonModelException(f"{instance.artefact}: {error}") from error
    names = [item.name for item in module.forward.schema.arguments[1:]]
    check_names("inputs", instance.inputs, names)
    return lambda inputs: module(
        **{name: as_tensor(array, instance.device) for name, array in inputs.items()}
    )


def load_package(instance: Instance) -> Module:
    """An AOTInductor package, which has its device from its maker; raises TritonModelException."""
    try:
        index = torch.device(instance.device).index
        model = torch._inductor.aoti_load_package(
            str(instance.artefact), device_index=-1 if index is None else index
        )
        made_for = model.get_metadata()["AOTI_DEVICE_KEY"]
    except Exception as error:  # a broken archive or an absent device raises anything
        raise pb_utils.TritonModelException(f"{instance.artefact}: {error}") from error
    if made_for != torch.device(instance.device).type:
        raise pb_utils.TritonModelException(
            f"{instance.artefact} was compiled for {made_for}, the instance is on {instance.device}; "
            "config.pbtxt says where instances run, in instance_group.kind"
        )
    names = [input_name("positional", index, "") for index in range(len(instance.inputs))]
    check_names("inputs", instance.inputs, names)
    return lambda inputs: model(*(as_tensor(inputs[name], instance.device) for name in names))


def as_tensor(array: NDArray[Any], device: str) -> torch.Tensor:
    """An input of a request on the device."""
    return torch.from_numpy(array).to(device)


def output_index(name: str) -> int:
    """The place of an output in the returned tuple; raises TritonModelException for a name without one."""
    index = index_in(name)
    if index is None:
        raise pb_utils.TritonModelException(f"output {name!r}: expected a name of the form <name>__<index>")
    return index
