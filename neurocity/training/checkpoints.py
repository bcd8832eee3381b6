"""Checkpoint files that neither a full disk nor an interrupted write can damage."""

import io
import os
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning.plugins.io import TorchCheckpointIO

from neurocity.errors import TrainingError


class WholeCheckpointIO(TorchCheckpointIO):
    """Writes beside the file and then renames: a checkpoint is the former one or the new one, never a part.

    (Lightning's own moves a file from the system's temporary folder, which copies across file systems.)
    """

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ARG002
    ) -> None:
        """Raises TrainingError when the file cannot be written, for want of space or of permission."""
        path = Path(path)
        # In memory first: torch ends the process when a file that it writes itself cannot take more.
        content = io.BytesIO()
        torch.save(checkpoint, content)
        partial = path.with_name(f".{path.name}.partial")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                file.write(content.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            partial.replace(path)
        except OSError as error:
            megabytes = content.getbuffer().nbytes / 1e6
            raise TrainingError(
                f"{path}: a checkpoint of {megabytes:.1f} MB cannot be written ({error.strerror}); what was "
                "saved before is intact. Make room, and resume from it"
            ) from error
        finally:
            partial.unlink(missing_ok=True)
