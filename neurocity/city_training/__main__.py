"""One job in a process of its own: `python -m neurocity.city_training JSON`, the JSON being that of a `Job`.

`neurocity city train` starts one for each part. Exit codes are those of all commands; what went wrong is also
in the part's record.
"""

import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Sequence
from typing import Final

from neurocity.city_training.job import Job
from neurocity.errors import NeuroCityError
from neurocity.exit_codes import INTERRUPTED, exit_code

POLL_SECONDS: Final = 1.0
GRACE_SECONDS: Final = 10.0
"""For a job that was told to end, too, by a command that then died: a second signal leaves unsaved."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Do the job and return its exit code."""
    (text,) = sys.argv[1:] if arguments is None else arguments
    threading.Thread(target=_end_with, args=(os.getppid(),), name="parent", daemon=True).start()
    logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
    logging.getLogger("pytorch_lightning.utilities.rank_zero").setLevel(logging.WARNING)
    try:
        job = Job.from_json(text)
        from neurocity.city_training.part import train_part  # noqa: PLC0415, torch only for a job

        record = train_part(job)
    except NeuroCityError as error:
        print(f"neurocity: {error}", file=sys.stderr)
        return exit_code(error)
    except KeyboardInterrupt:
        return INTERRUPTED
    print(f"{record.part}: trained, {record.step} steps in {record.seconds:.0f} s")
    return 0


def _end_with(parent: int) -> None:
    """Have this process end when the one that started it has died: nobody else would end it, and its part
    could not be begun again."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    time.sleep(GRACE_SECONDS)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    sys.exit(main())
