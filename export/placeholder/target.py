"""How Triton takes the placeholder, and its file in a version folder."""

from pathlib import Path
from typing import Final

from export.format import TritonTarget

PLACEHOLDER: Final = "triton.py"
PLACEHOLDER_TARGET: Final = TritonTarget(
    backend="python", file_name=PLACEHOLDER, device_bound=True, renders=False
)


def placeholder_files() -> dict[str, bytes]:
    """The model by its name in the version folder."""
    return {PLACEHOLDER: Path(__file__).with_name("model.py").read_bytes()}
