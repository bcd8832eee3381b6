"""Steps that are done once: a benchmark of half an hour goes on where it was interrupted."""

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

Figures = dict[str, Any]


class Steps:
    """What was done in a folder and what it showed, by step; kept in `results.json`."""

    def __init__(self, folder: Path, settings: Figures) -> None:
        """Raises SystemExit when the folder has a benchmark with other settings."""
        self.folder = folder
        self._file = folder / "results.json"
        self.done: dict[str, Figures] = {}
        settings = json.loads(json.dumps(settings))
        if self._file.exists():
            self.done = json.loads(self._file.read_text())
            if (found := self.done["settings"]) != settings:
                other = {name: value for name, value in found.items() if settings.get(name) != value}
                raise SystemExit(
                    f"{folder}: has a benchmark with {other}; name another folder, or give these"
                )
        folder.mkdir(parents=True, exist_ok=True)
        self._keep("settings", settings)

    def once(self, name: str, task: Callable[[], Figures]) -> None:
        """Do a step that is not done yet, and keep its figures with the `seconds` that it took."""
        if name not in self.done:
            print(f"{name} ...", file=sys.stderr, flush=True)
            began = time.monotonic()
            figures = task()
            self._keep(name, {"seconds": time.monotonic() - began, **figures})

    def _keep(self, name: str, figures: Figures) -> None:
        self.done[name] = figures
        partial = self._file.with_suffix(".partial")
        partial.write_text(json.dumps(self.done, indent=1) + "\n")
        partial.replace(self._file)

    def run(self, program: str, *words: object) -> None:
        """A program of this environment; its output is kept. Raises SystemExit with its end when it fails."""
        command = [str(Path(sys.executable).with_name(program)), *map(str, words)]
        commands = [str(word) for word in words[:2] if isinstance(word, str) and not word.startswith("-")]
        log = self.folder / f"{'-'.join([program, *commands])}.log"
        with log.open("w") as output:
            code = subprocess.run(command, stdout=output, stderr=subprocess.STDOUT, check=False).returncode
        if code != 0:
            end = "\n".join(log.read_text(errors="replace").splitlines()[-20:])
            raise SystemExit(f"{' '.join(command)} ended with {code}, see {log}:\n{end}")
