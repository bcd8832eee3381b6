"""Triton backend `neurocity`, python-based: renders `model.safetensors` with the compiled kernels, on CPUs.

It heeds the parameter `thread_count`, and stops a render whose request was cancelled.
"""

from typing import Any

import triton_python_backend_utils as pb_utils
from neurocity_backend import Arrays, Instance, answer, check_names, when_cancelled

from neurocity.cameras import Rays
from neurocity.contract import RENDER_OUTPUTS
from neurocity.kernels.file import open_file, scene_data, scene_inputs
from neurocity.kernels.scene import open_scene, render_rays
from neurocity.kernels.work import Work


class TritonPythonModel:
    """One instance of a model. Triton makes `instance_group.count` of them, each in a process of its own."""

    def initialize(self, arguments: dict[str, str]) -> None:
        """Map the scene; raises what Triton reports when file, configuration and machine do not fit."""
        instance = Instance.from_arguments(arguments, default_file="model.safetensors")
        if instance.device != "cpu":
            raise pb_utils.TritonModelException(
                f"{instance.artefact}: the kernels compute on CPUs, the instance is on {instance.device}; "
                "config.pbtxt says where instances run, in instance_group.kind"
            )
        file = open_file(instance.artefact)
        self._inputs = [spec.name for spec in scene_inputs(file)]
        check_names("inputs", instance.inputs, self._inputs)
        check_names("outputs", instance.outputs, [spec.name for spec in RENDER_OUTPUTS])
        self._threads = instance.integer_parameter("thread_count", 0)
        self._scene = open_scene(scene_data(file))

    def execute(self, requests: list[Any]) -> list[Any]:
        """One response a request, in order."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        work = Work()

        def run(inputs: Arrays, names: list[str]) -> Arrays:
            rays = Rays(*(inputs[name] for name in self._inputs))
            light = render_rays(self._scene, rays, threads=self._threads, work=work)
            if light is None:
                raise RuntimeError("the render was stopped")
            return {name: getattr(light, name) for name in names}

        def stop() -> None:
            work.stop = 1

        with when_cancelled(request, stop):
            return answer(request, run)
