"""The engine of an ONNX model, by either library, and what the manifest says of it."""

import hashlib
from typing import Any

from export.format import Engine, TritonTarget
from export.renderer import RayProfile
from export.tensorrt.library import EngineLibrary, has_cuda_device
from neurocity.contract import RAY_INPUTS, RENDER_OUTPUTS, TensorSpec, ray_inputs
from neurocity.errors import ExportError, UnsupportedError

ENGINE_FILE = "model.plan"
ENGINE_TARGET = TritonTarget(backend="tensorrt", platform="tensorrt_plan", file_name=ENGINE_FILE)
PORTABLE_TARGETS = "CUDA compute capabilities 8.0, 8.6, 8.9 and 12.0"
"""What TensorRT for RTX builds for by default; see its documentation of CPU-only engines."""


def build_engine(model: bytes, library: EngineLibrary, profile: RayProfile) -> Engine:
    """The engine of the ONNX file `model`, opened where there is a CUDA device, and its record.

    Raises what `build` raises, and ExportError when there is a device and the engine does not open on it.
    """
    plan = build(model, library, profile)
    opened = has_cuda_device()
    if opened:
        log = message_log(library.module)
        if library.module.Runtime(log).deserialize_cuda_engine(plan) is None:
            raise ExportError(f"{library.name} {library.version} cannot open its own engine: {log.report()}")
    record = {
        "file": ENGINE_FILE,
        "sha256": hashlib.sha256(plan).hexdigest(),
        "bytes": len(plan),
        "built_from_sha256": hashlib.sha256(model).hexdigest(),
        "library": library.name,
        "library_version": library.version,
        "rays": {"min": profile.least, "opt": profile.usual, "max": profile.most},
        "runs_on": PORTABLE_TARGETS if library.name == "tensorrt-rtx" else "the GPU model it was built on",
        "triton": library.name == "tensorrt",
        "opened": opened,
        "executed": False,
    }
    return Engine(plan, record)


def build(model: bytes, library: EngineLibrary, profile: RayProfile) -> bytes:
    """The engine of an ONNX render graph, in the precisions that the graph itself states.

    Raises UnsupportedError with the parser's words for each node that it refuses, and ExportError when the
    graph has other inputs and outputs than a render graph, or when the builder fails.
    """
    trt = library.module
    log = message_log(trt)
    builder = trt.Builder(log)
    # Types are the graph's own. Where the library knows nothing else, it may have no flag for it.
    typed = trt.NetworkDefinitionCreationFlag.__members__.get("STRONGLY_TYPED")
    network = builder.create_network(0 if typed is None else 1 << int(typed))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise UnsupportedError(_parser_report(parser, library))
    # What the contract calls the inputs of a render graph that has so many.
    inputs = ray_inputs(needs_ray_radii=network.num_inputs > len(RAY_INPUTS))
    _check_tensors(network, inputs)
    config = builder.create_builder_config()
    # TensorFloat-32 keeps 10 bits of a product; what is proved is the graph in the precision it states.
    config.clear_flag(trt.BuilderFlag.TF32)
    shapes = builder.create_optimization_profile()
    for spec in inputs:
        width = spec.shape[1]
        shapes.set_shape(spec.name, *((rays, width) for rays in (profile.least, profile.usual, profile.most)))
    config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{library.name} {library.version} built no engine: {log.report()}")
    return bytes(plan)


def message_log(trt: Any) -> Any:
    """A logger of the library that prints nothing and keeps errors for `report`."""

    class MessageLog(trt.ILogger):
        def __init__(self) -> None:
            super().__init__()
            self.messages: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                self.messages.append(message)

        def report(self) -> str:
            return "; ".join(self.messages) or "it gave no reason"

    return MessageLog()


def _parser_report(parser: Any, library: EngineLibrary) -> str:
    lines = [f"{library.name} {library.version} does not take this graph:"]
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        lines.append(f"  {error.node_operator() or 'model'} {error.node_name()}: {error.desc()}")
    return "\n".join(lines)


def _check_tensors(network: Any, inputs: tuple[TensorSpec, ...]) -> None:
    """Raises ExportError unless inputs and outputs are the contract's; -1 stands for the dynamic axis."""
    tensors = [network.get_input(index) for index in range(network.num_inputs)]
    tensors += [network.get_output(index) for index in range(network.num_outputs)]
    got = [f"{tensor.name} {tensor.dtype.name} {list(tensor.shape)}" for tensor in tensors]
    expected = [f"{spec.name} FLOAT {[-1, *spec.shape[1:]]}" for spec in (*inputs, *RENDER_OUTPUTS)]
    if got != expected:
        raise ExportError(f"engine: got the tensors {', '.join(got)}, expected {', '.join(expected)}")
