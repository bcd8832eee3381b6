"""An engine that is run on this machine's GPU, in memory and on a stream of PyTorch's."""

from typing import Any

from export.renderer import Renderer
from export.tensorrt.engine import message_log
from export.tensorrt.library import EngineLibrary
from neurocity.cameras import Rays
from neurocity.contract import RAY_INPUTS, RENDER_OUTPUTS, ray_inputs
from neurocity.errors import EngineError
from neurocity.light import Light


def open_engine(plan: bytes, library: EngineLibrary) -> Renderer:
    """The engine, ready to render as many rays a call as it was built for at most.

    Raises EngineError when it does not open here. What it renders with raises EngineError, too, for a number
    of rays that it was not built for, and when it fails.
    """
    import torch  # noqa: PLC0415, only where an engine runs

    log = message_log(library.module)
    runtime = library.module.Runtime(log)
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{library.name} {library.version} cannot open the engine: {log.report()}")
    context = engine.create_execution_context()
    if context is None:
        raise EngineError(f"{library.name} {library.version} cannot run the engine: {log.report()}")
    inputs = ray_inputs(needs_ray_radii=engine.num_io_tensors > len(RAY_INPUTS) + len(RENDER_OUTPUTS))
    stream = torch.cuda.Stream()

    def render(rays: Rays) -> Light:
        _ = runtime  # lives as long as its engine
        with torch.cuda.stream(stream):
            tensors: dict[str, Any] = {}
            for spec, part in zip(inputs, rays.arrays(), strict=True):
                tensors[spec.name] = torch.from_numpy(part).to("cuda").contiguous()
                if not context.set_input_shape(spec.name, tuple(part.shape)):
                    raise EngineError(f"the engine takes no {len(rays)} rays: {log.report()}")
            for spec in RENDER_OUTPUTS:
                tensors[spec.name] = torch.empty(
                    tuple(context.get_tensor_shape(spec.name)), dtype=torch.float32, device="cuda"
                )
            for name, tensor in tensors.items():
                context.set_tensor_address(name, tensor.data_ptr())
            if not context.execute_async_v3(stream.cuda_stream):
                raise EngineError(f"the engine failed with {len(rays)} rays: {log.report()}")
            # Copies to the host wait for the stream.
            return Light(*(tensors[spec.name].cpu().numpy() for spec in RENDER_OUTPUTS))

    return render
