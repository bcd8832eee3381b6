"""ONNX bytes to engine bytes, by either library."""

from typing import Any

from export.ray_profile import RayProfile
from export.tensorrt.library import EngineLibrary
from neurocity.contract import RAY_INPUTS, RENDER_OUTPUTS, TensorSpec, ray_inputs
from neurocity.errors import ExportError, UnsupportedError


def build(model: bytes, library: EngineLibrary, profile: RayProfile) -> bytes:
    """The engine of an ONNX render graph, in the precisions that the graph itself states.

    Raises UnsupportedError with the parser's words for each node that it refuses, and ExportError when the
    graph has other inputs and outputs than a render graph, or when the builder fails.
    """
    trt = library.module
    log = message_log(trt)
    builder = trt.Builder(log)
    network = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(network, log)
    if not parser.parse(model):
        raise UnsupportedError(_parser_report(parser, library))
    _check_tensors(network)
    config = builder.create_builder_config()
    # TensorFloat-32 keeps 10 bits of a product; what is proved is the graph in the precision it states.
    config.clear_flag(trt.BuilderFlag.TF32)
    shapes = builder.create_optimization_profile()
    for spec in _inputs(network):
        width = spec.shape[1]
        shapes.set_shape(spec.name, *((rays, width) for rays in (profile.least, profile.usual, profile.most)))
    config.add_optimization_profile(shapes)
    plan = builder.build_serialized_network(network, config)
    if plan is None:
        raise ExportError(f"{library.name} {library.version} built no engine: {log.report()}")
    return bytes(plan)


def message_log(trt: Any) -> Any:
    """A logger of the library that prints nothing and keeps warnings and errors for `report`."""

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


def _network_flags(trt: Any) -> int:
    """Types are the graph's own. Where the library knows nothing else, it may have no flag for it."""
    flag = trt.NetworkDefinitionCreationFlag.__members__.get("STRONGLY_TYPED")
    return 0 if flag is None else 1 << int(flag)


def _parser_report(parser: Any, library: EngineLibrary) -> str:
    lines = [f"{library.name} {library.version} does not take this graph:"]
    for index in range(parser.num_errors):
        error = parser.get_error(index)
        lines.append(f"  {error.node_operator() or 'model'} {error.node_name()}: {error.desc()}")
    return "\n".join(lines)


def _inputs(network: Any) -> tuple[TensorSpec, ...]:
    """What the contract calls the inputs of a render graph that has so many."""
    return ray_inputs(needs_ray_radii=network.num_inputs > len(RAY_INPUTS))


def _check_tensors(network: Any) -> None:
    """Raises ExportError unless inputs and outputs are the contract's; -1 stands for the dynamic axis."""
    got, expected = [], []
    for specs, count, tensor in (
        (_inputs(network), network.num_inputs, network.get_input),
        (RENDER_OUTPUTS, network.num_outputs, network.get_output),
    ):
        for found in map(tensor, range(count)):
            got.append(f"{found.name} {found.dtype.name} {list(found.shape)}")
        for spec in specs:
            shape = [axis if isinstance(axis, int) else -1 for axis in spec.shape]
            expected.append(f"{spec.name} FLOAT {shape}")
    if got != expected:
        raise ExportError(f"engine: got the tensors {', '.join(got)}, expected {', '.join(expected)}")
