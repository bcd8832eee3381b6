"""How far an artefact may be from the float32 eager model: one row for each format and precision."""

from dataclasses import dataclass

from neurocity.errors import UnsupportedError


@dataclass(frozen=True, slots=True, kw_only=True)
class Tolerance:
    """Limits of the parity gate; colours and opacity in [0, 1], so that 1/255 = 3.9e-3 is one display step.

    psnr_db, ssim: of the worst held-out view, peak 1.
    rgb, opacity: largest absolute error of any ray.
    depth: largest error of accumulated distance, opacity * |depth error|, as a share of the scene diagonal.
        (Depth is a quotient by opacity: without that weight, a ray that sees next to nothing has any depth.)
    invariance: largest change of a ray's rgb, opacity or depth (as above) when the rays around it change.
    """

    psnr_db: float
    ssim: float
    rgb: float
    opacity: float
    depth: float
    invariance: float


_FP32 = Tolerance(psnr_db=60.0, ssim=0.9999, rgb=2e-3, opacity=2e-3, depth=2e-3, invariance=1e-5)

# Between fp16 and fp32, rounding moves every colour a little and a few rays at edges more.
_FP16 = Tolerance(psnr_db=45.0, ssim=0.99, rgb=0.1, opacity=0.1, depth=0.1, invariance=1e-3)

TOLERANCES: dict[tuple[str, str], Tolerance] = {
    ("onnx", "fp32"): _FP32,
    ("onnx", "fp16"): _FP16,
    # Through ONNX Runtime the accelerator may put any layer in half precision, geometry too, once it may
    # use it at all; so there is no fp16 of it.
    ("onnx_tensorrt", "fp32"): _FP32,
    ("tensorrt", "fp32"): _FP32,
    ("tensorrt", "fp16"): _FP16,
    ("torchscript", "fp32"): _FP32,
    ("torchscript", "fp16"): _FP16,
}


def tolerance_for(format_name: str, precision: str) -> Tolerance:
    """The row of the table. Raises UnsupportedError when the pair is not offered."""
    try:
        return TOLERANCES[format_name, precision]
    except KeyError:
        known = ", ".join(f"{name} {kind}" for name, kind in TOLERANCES)
        raise UnsupportedError(f"{format_name} in {precision} is not offered, known: {known}") from None
