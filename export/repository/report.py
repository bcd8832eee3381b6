"""`report.md`, the proof as a person reads it; made from the manifest alone."""

from typing import Any

from export.parity.pictures import WORST_VIEW
from neurocity.contract import SceneManifest

REPORT_FILE = "report.md"
_STEP = 1 / 255


def markdown(manifest: SceneManifest) -> str:
    """The report of a shipped artefact."""
    parity = manifest.parity
    views, scales = parity["views"], parity.get("scales", [])
    worst = min((*views, *scales), key=lambda view: view["psnr_db"])
    limits = parity["tolerance"]
    tools = ", ".join(f"{name} {found}" for name, found in sorted(manifest.tools.items()))
    return "\n".join(
        [
            f"# {manifest.model_name}, version {manifest.version}",
            "",
            f"Family {manifest.family}, as {manifest.format} in {manifest.precision}, "
            f"{_size(manifest.bytes)}, {_nearness(parity)}. "
            f"All {parity['checks_passed']} checks passed on {parity['device']}, {manifest.created}.",
            "",
            *_engine_lines(manifest),
            *_preview(parity),
            "| | |",
            "|---|---|",
            f"| checkpoint SHA-256 | `{manifest.checkpoint_sha256}` |",
            f"| artefact SHA-256 | `{manifest.artefact.sha256}` |",
            *(f"| {name} | {value:g} |" for name, value in sorted(manifest.sample_budget.items())),
            f"| recommended rays per call | {manifest.rays_per_call:,} |",
            f"| rays per second while verified | {parity['rays_per_second']:,} |",
            f"| written with | {tools} |",
            "",
            "## Held-out views",
            "",
            "Each pixel of each view, artefact against model. Depth errors are weighted by opacity and are a "
            f"share of the scene diagonal; a display step of an 8-bit image is {_STEP:.1e}.",
            "",
            "| view | PSNR, dB | SSIM | rgb max | rgb 99.9 % | opacity max | depth max | worst row, column |",
            "|---|---|---|---|---|---|---|---|",
            *(_view_row(view) for view in (*views, *scales)),
            f"| limit | {limits['psnr_db']:g} | {limits['ssim']:g} | {limits['rgb']:g} "
            f"| {limits['rgb_p999']:g} | {limits['opacity']:g} | {limits['depth']:g} | |",
            "",
            f"Worst view: {worst['view']}, {worst['psnr_db']:.1f} dB (200 stands for equal images). "
            "Heat maps of every view are in `parity/`.",
            "",
            f"![Model, artefact and their differences in the worst view]({WORST_VIEW})",
            "",
            f"The limits: {limits['origin']}",
            "",
            *_skipped(parity),
            *_photographs(parity),
            *_drawn(parity.get("unquantised"), "Without quantisation", "The model as floats"),
            *_drawn(parity.get("shipped"), "As a browser shows it", "The shipped files, over the background"),
            *_profile(manifest.profile),
            *_rays(parity),
        ]
    )


def _nearness(parity: dict[str, Any]) -> str:
    return (
        "a preview, near to the float32 model and not equal"
        if "preview" in parity
        else "equal to the float32 model within the limits below"
    )


def _engine_lines(manifest: SceneManifest) -> list[str]:
    """What was built from the artefact, and that the figures are not the engine's."""
    engine = manifest.engine
    if not engine:
        return []
    rays = engine["rays"]
    served = (
        "Triton's tensorrt backend loads it."
        if engine["triton"]
        else "Triton's tensorrt backend loads engines of tensorrt alone: run `neurocity-export build-engine "
        "--engine tensorrt` on the server's machine."
    )
    opened = "opened" if engine["opened"] else "not opened, which takes a CUDA device,"
    return [
        f"The engine `{engine['file']}` ({_size(engine['bytes'])}, SHA-256 `{engine['sha256']}`) was built "
        f"from `{manifest.artefact.name}` by {engine['library']} {engine['library_version']} for "
        f"{rays['min']:,} to {rays['max']:,} rays a call, best at {rays['opt']:,}, and runs on "
        f"{engine['runs_on']}. {served}",
        "",
        f"The figures below are of `{manifest.artefact.name}` in ONNX Runtime. The engine was {opened} and "
        "not executed.",
        "",
    ]


def _skipped(parity: dict[str, Any]) -> list[str]:
    """What is left out of the smaller pictures that graphs with radii are compared in."""
    skipped = parity.get("skipped_scales")
    return [f"Not compared: {'; '.join(skipped)}.", ""] if skipped else []


def _view_row(view: dict[str, Any]) -> str:
    row, column = view["worst_pixel"]
    return (
        f"| {view['view']} | {view['psnr_db']:.1f} | {view['ssim']:.6f} "
        f"| {view['rgb']:.1e} | {view['rgb_p999']:.1e} "
        f"| {view['opacity']:.1e} | {view['depth']:.1e} | {row}, {column} |"
    )


def _profile(profile: dict[str, Any]) -> list[str]:
    if not profile:
        return []
    p50, p99, others = (profile[name] for name in ("call_p50_ms", "call_p99_ms", "other_tensors"))
    return [
        "## Speed and size",
        "",
        f"On {profile['processors']} processors ({profile['processor']}), device {profile['device']}, in a "
        "process of its own with nothing but the artefact.",
        "",
        "| | |",
        "|---|---|",
        f"| rays per second | {profile['rays_per_second']:,} |",
        f"| 800 x 800 frame, extrapolated | {profile['frame_ms']:,.0f} ms |",
        f"| call of {profile['rays_per_call']:,} rays, median and 99 % of {profile['calls']} calls "
        f"| {p50:.1f} ms, {p99:.1f} ms |",
        f"| median settled within the time | {'yes' if profile['settled'] else 'no'} |",
        f"| memory: opened, peak | {_memory(profile['opened_memory_bytes'])}, "
        f"{_memory(profile['peak_memory_bytes'])} |",
        *(
            f"| calls of {row['rays_per_call']:,} rays | {row['rays_per_second']:,} rays per second, peak "
            f"{_memory(row['peak_memory_bytes'])} |"
            for row in profile["sizes"]
        ),
        *(f"| tensor `{row['name']}` | {_size(row['bytes'])} |" for row in profile["tensors"]),
        *([f"| {others['count']} smaller tensors | {_size(others['bytes'])} |"] if others["count"] else []),
        "",
    ]


def _memory(count: int | None) -> str:
    return "not measured" if count is None else _size(count)


def _photographs(parity: dict[str, Any]) -> list[str]:
    if "photographs" not in parity:
        return []
    mean, limit = parity["photographs"], parity["tolerance"]["psnr_loss_db"]
    rows = [(view["view"], view["photograph"]) for view in parity["views"]]
    return [
        "## Against the photographs",
        "",
        f"| view | model, dB | artefact, dB | lost, dB (limit {limit:g}) |",
        "|---|---|---|---|",
        *(
            f"| {name} | {found['model_psnr_db']:.3f} | {found['artefact_psnr_db']:.3f} "
            f"| {found['loss_db']:.5f} |"
            for name, found in (*rows, ("mean", mean))
        ),
        "",
    ]


def _drawn(found: dict[str, Any] | None, title: str, what: str) -> list[str]:
    """What users' own renderer draws, and what drew it."""
    if found is None:
        return []
    instead = f" ({found['instead_of']})" if found["instead_of"] else ""
    return [
        f"## {title}",
        "",
        f"{what}, drawn by {found['by']}{instead}, against the model.",
        "",
        "| view | pixels | PSNR, dB | rgb max | opacity max |",
        "|---|---|---|---|---|",
        *(
            f"| {view['view']} | {view['width']} x {view['height']} | {view['psnr_db']:.1f} "
            f"| {view['rgb']:.1e} | {_opacity(view)} |"
            for view in found["views"]
        ),
        f"| limit | | {found['psnr_db']:g} | {found['error']:.1e} | {found['error']:.1e} |",
        "",
    ]


def _opacity(view: dict[str, Any]) -> str:
    return f"{view['opacity']:.1e}" if "opacity" in view else "in the picture"


def _preview(parity: dict[str, Any]) -> list[str]:
    """What a preview has of the model, and what it loses."""
    preview = parity.get("preview")
    if not preview:
        return []
    views = [view["psnr_db"] for view in parity["views"]]
    return [
        *(f"- {remark}" for remark in preview["remarks"]),
        f"- The loss: {len(views)} of {preview['held_out']} held-out views, drawn by {preview['by']}, are at "
        f"{sum(views) / len(views):.1f} dB PSNR to the model's pictures in the mean, and at "
        f"{min(views):.1f} dB in the worst.",
        "",
    ]


def _rays(parity: dict[str, Any]) -> list[str]:
    """Comparisons of rays that are no picture; none of a preview, which takes no rays."""
    if "preview" in parity:
        return []
    return [
        "## Rays made to break a renderer",
        "",
        "| rays | rgb max | opacity max | depth max | not finite |",
        "|---|---|---|---|---|",
        *(_rays_row(found) for found in parity["rays"]),
        "",
        "## The same rays in other company",
        "",
        f"| rays | largest change (limit {parity['tolerance']['invariance']:g}) |",
        "|---|---|",
        *(f"| {found['rays']} | {found['change']:.1e} |" for found in parity["invariance"]),
        "",
    ]


def _rays_row(found: dict[str, Any]) -> str:
    errors = " | ".join(f"{found[output]:.1e}" for output in ("rgb", "opacity", "depth"))
    return f"| {found['rays']} | {errors} | {found['non_finite']} |"


def _size(count: int) -> str:
    return f"{count / 2**20:.1f} MiB" if count >= 2**20 else f"{count / 2**10:.1f} KiB"
