"""What a reader is given: the folder, the size that is wanted, and a list for what it ignored or guessed."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from neurocity.data.files import Files

Missing = Literal["error", "skip"]


@dataclass(kw_only=True, eq=False)
class Reading:
    """One reading of a dataset.

    root: the dataset's folder.
    downscale: whole number by which image sizes are divided.
    missing: whether frames whose images are missing are an error, or left out.
    remarks: what the reader ignored, guessed or left out, in sentences for the user; filled by `remark`.
    files: finds the dataset's files.
    """

    root: Path
    downscale: int = 1
    missing: Missing = "error"
    remarks: list[str] = field(default_factory=list)
    files: Files = field(default_factory=Files)
    _counted: dict[str, list[str]] = field(default_factory=dict)

    def remark(self, sentence: str) -> None:
        """Note what the user should know of how the dataset was read; the same sentence is noted once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)

    def count(self, what: str, example: str) -> None:
        """Note one of several frames of which `what` is to be said; `told` says it once, with the number."""
        self._counted.setdefault(what, []).append(example)

    def told(self) -> tuple[str, ...]:
        """All remarks, and what was counted: how often, and the first example."""
        counted = (
            f"{what} ({len(examples)} frame{'s' * (len(examples) > 1)}; the first: {examples[0]})"
            for what, examples in self._counted.items()
        )
        return (*self.remarks, *counted)
