"""Records of stages as tables in Markdown."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Record = Mapping[str, Any]

TRAINING = ("family", "seconds", "precision", "steps", "PSNR, dB", "SSIM", "rays/s", "samples/s", "peak, MiB")
TRAINING += ("200x200, s",)
RENDERING = ("eager", "with_kernels", "run")
"""Tasks of the table of `rendering_heads`."""
KERNELS = (
    "family",
    "kernel",
    "rays or points",
    "PyTorch, ms",
    "kernel, ms",
    "times as fast",
    "error",
    "equal",
)


def rendering_heads(sizes: Sequence[str]) -> tuple[str, ...]:
    """Of the table of eager models and artefacts."""
    rates = (f"{size}, frames/s" for size in sizes)
    heads = ("family", "run as", "written in, s", "MiB", "PSNR against the CPU, dB", "rgb error")
    return (*heads, "opacity error", "equal", *rates, "rays a call", "GPU's peak, MiB")


def head(names: Sequence[str]) -> str:
    """The two lines that begin a table."""
    return f"| {' | '.join(names)} |\n|{'---|' * len(names)}"


def training_row(record: Record) -> str:
    """A row of the table `TRAINING`."""
    return _row(
        record["family"],
        f"{record['train_seconds']:g}",
        record["precision"],
        f"{record['steps']:,}",
        f"{record['psnr']:.2f}",
        f"{record['ssim']:.3f}",
        f"{record['rays/s']:,.0f}",
        f"{record['samples/s']:,.0f}",
        f"{record['peak_memory_mib']:,.0f}",
        f"{record['seconds_per_frame']:.3f}",
    )


def rendering_row(record: Record, written: Record | None) -> str:
    """A row of the table of `rendering_heads`; `written` is the record of the artefact's `writer`."""
    made = [f"{written['written_in']:.1f}", f"{written['mib']:.1f}"] if written else ["", ""]
    return _row(
        record["family"],
        record.get("format", "eager, kernels" if record["task"] == "with_kernels" else "eager"),
        *made,
        f"{record['psnr_db']:.0f}",
        f"{record['rgb_error']:.1e}",
        f"{record['opacity_error']:.1e}",
        "yes" if record["equal"] else "NO",
        *(f"{rate:.2f}" for rate in record["frames_per_second"].values()),
        f"{record['rays_per_call']:,}",
        f"{record['memory_mib']:,.0f}" if record["memory_mib"] else "",
    )


def kernel_rows(record: Record) -> list[str]:
    """The rows of the table `KERNELS`."""
    return [
        _row(
            record["family"],
            row["kernel"],
            f"{row['count']:,}",
            f"{1000.0 * row['definition_seconds']:.2f}",
            f"{1000.0 * row['seconds']:.2f}",
            f"{row['definition_seconds'] / row['seconds']:.3g}",
            f"{row['error']:.1e}",
            "yes" if row["equal"] else "NO",
        )
        for row in record["kernels"]
    ]


def writer(record: Record) -> str:
    """The stage that wrote the artefact of a row; none has this name for the model itself."""
    return f"write {record['family']} {record.get('format', 'nothing')}"


def remark(record: Record) -> str:
    """What is not in the tables, in a line; empty where there is nothing to say."""
    if record["status"] == "done" and record.get("equal", True):
        return ""
    status = "not equal" if record["status"] == "done" else record["status"]
    return f"- {record['stage']}: {status}: {record['reason']}"


def document(records: Iterable[Record], sizes: Sequence[str], sentence: str) -> str:
    """All that there is by now: the tables, and what is missing in them and why."""
    found = list(records)
    done = [record for record in found if record["status"] == "done"]
    written = {record["stage"]: record for record in done if record["task"] == "write"}
    training = [training_row(record) for record in done if record["task"] == "train"]
    rendering = [
        rendering_row(record, written.get(writer(record))) for record in done if record["task"] in RENDERING
    ]
    kernels = [row for record in done if record["task"] == "kernels" for row in kernel_rows(record)]
    parts = [sentence]
    if training:
        parts.append("\n".join([head(TRAINING), *training]))
    if rendering:
        parts.append("\n".join([head(rendering_heads(sizes)), *rendering]))
    if kernels:
        parts.append("\n".join([head(KERNELS), *kernels]))
    causes = [record for record in found if "follows" not in record]
    if remarks := [line for record in causes if (line := remark(record))]:
        parts.append("\n".join(["Not in the tables:", "", *remarks]))
    return "\n\n".join(parts) + "\n"


def _row(*cells: str) -> str:
    return f"| {' | '.join(cells)} |"
