"""What a reader is given: the folder, the size that is wanted, and a list for what it ignored or guessed."""

from dataclasses import dataclass, field
from pathlib import Path


@dataclass(kw_only=True, eq=False)
class Reading:
    """One reading of a dataset.

    root: the dataset's folder.
    downscale: whole number by which image sizes are divided.
    remarks: what the reader ignored, guessed or left out, in sentences for the user; filled by `remark`.
    """

    root: Path
    downscale: int = 1
    remarks: list[str] = field(default_factory=list)

    def remark(self, sentence: str) -> None:
        """Note what the user should know of how the dataset was read; the same sentence is noted once."""
        if sentence not in self.remarks:
            self.remarks.append(sentence)
