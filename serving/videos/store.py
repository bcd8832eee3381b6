"""Jobs on disk, so that they outlive the process.

DIR/lock                      held by the process that uses the folder
DIR/<id>/order.json           what was asked for; removed when the job has ended
DIR/<id>/job.json             the record; a folder without it is not whole
DIR/<id>/film.mp4             the result, and whatever its making has beside it
"""

import contextlib
import json
import logging
import re
import shutil
from pathlib import Path

from pydantic import ValidationError

from neurocity.publishing import published
from serving.own_folder import take_folder
from serving.videos.job import Order, Record

log = logging.getLogger("neurocity.serving")

_ID = re.compile(r"[0-9a-f]{32}")
_RECORD, _ORDER = "job.json", "order.json"


class VideoStore:
    """A folder of jobs, for one process. All methods block."""

    def __init__(self, folder: Path) -> None:
        """Make the folder. Raises as `take_folder`."""
        self.folder = folder
        self._lock = take_folder(folder, "videos")

    def close(self) -> None:
        """Let another process have the folder."""
        self._lock.close()

    def load(self) -> list[Record]:
        """The records of all jobs, the oldest first. What is not whole is removed, half films among it."""
        found = []
        for folder in self.folder.iterdir():
            if not _ID.fullmatch(folder.name):
                continue
            try:
                record = Record.model_validate_json((folder / _RECORD).read_bytes())
            except FileNotFoundError:  # the process ended while it made or removed the folder
                record = None
            except OSError as error:  # it may be read the next time
                log.error("video=%s cannot be read, and is left as it is: %s", folder.name, error)
                continue
            except ValidationError as error:
                log.warning("video=%s cannot be read and is removed: %s", folder.name, error)
                record = None
            if record is None or (record.state == "done" and not self._is_whole(record)):
                shutil.rmtree(folder, ignore_errors=True)
                continue
            if record.state != "done":
                self.clear(record.id)
            found.append(record)
        return sorted(found, key=lambda record: record.created)

    def _is_whole(self, record: Record) -> bool:
        """Whether a film is there to its last byte: a machine that died may have written less."""
        film = self.film(record)
        return film.is_file() and film.stat().st_size == record.bytes

    def create(self, record: Record, order: Order) -> None:
        """Write a new job; raises OSError, and leaves nothing then."""
        folder = self.folder / record.id
        try:
            folder.mkdir()
            # Not by pydantic: a camera path is what JSON can hold, however deep, half characters included.
            facts = {**order.model_dump(exclude={"camera_path"}), "camera_path": order.camera_path}
            _write(folder / _ORDER, json.dumps(facts))
            self.save(record)
        except OSError:
            self.remove(record.id)
            raise

    def save(self, record: Record) -> None:
        """Write the record anew; raises OSError, and leaves the old one then."""
        _write(self.folder / record.id / _RECORD, record.model_dump_json())

    def order(self, record: Record) -> Order:
        """What was asked for, of a job that has not ended."""
        return Order.model_validate(json.loads((self.folder / record.id / _ORDER).read_bytes()))

    def film(self, record: Record) -> Path:
        """Where the result is, or will be."""
        return self.folder / record.id / f"film.{record.format}"

    def bytes(self, job_id: str) -> int:
        """What a job takes on disk."""
        total = 0
        with contextlib.suppress(FileNotFoundError):  # the job was removed
            for file in (self.folder / job_id).iterdir():
                with contextlib.suppress(FileNotFoundError):  # the file has another name by now
                    total += file.stat().st_size
        return total

    def forget_order(self, job_id: str) -> None:
        """Remove what is not needed of a job that has ended."""
        _unlink(self.folder / job_id / _ORDER)

    def clear(self, job_id: str) -> None:
        """Remove what was made of a film that is not done; somebody may have removed all of it."""
        with contextlib.suppress(FileNotFoundError):
            for file in (self.folder / job_id).iterdir():
                if file.name not in (_RECORD, _ORDER):
                    _unlink(file)

    def remove(self, job_id: str) -> None:
        """Remove a job with its film."""
        folder = self.folder / job_id
        _unlink(folder / _RECORD)  # first: what is left is not whole
        shutil.rmtree(folder, ignore_errors=True)


def _unlink(file: Path) -> None:
    """Remove a file; where that cannot be, it takes room, and a job does not fail for it."""
    try:
        file.unlink(missing_ok=True)
    except OSError as error:
        log.error("%s cannot be removed: %s", file, error.strerror)


def _write(file: Path, text: str) -> None:
    with published(file) as partial:
        partial.write_text(text, encoding="utf-8")
