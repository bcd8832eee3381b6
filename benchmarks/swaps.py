"""A scene that is swapped while it is rendered: what becomes of pictures and memory, and how long it takes.

    python -m benchmarks.swaps REPOSITORY --scene NAME
    python -m benchmarks.swaps REPOSITORY --scene NAME --swaps 200 --engine onnxruntime

It starts a gateway of its own on a folder of links to the scene's newest version, and puts it in place again
and again under the next number, as an export does, while clients ask for pictures that are all different.
"""

import asyncio
import json
import os
import shutil
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import psutil
import tyro

from benchmarks.gateway import served
from benchmarks.load.bench import in_ms, seconds_of, statuses
from benchmarks.load.client import Answer, Connection, Pictures, look
from benchmarks.machine import facts
from neurocity.contract import MANIFEST_FILE
from neurocity.model_repository import models, newest_version_folder, open_version

SETTLED_SECONDS = 0.5
"""After a swap the old version is freed, when its last picture is done; then memory is looked at."""
WARM = 5
"""Swaps before memory is looked at for the first time: what is kept for the next picture is there then."""


@dataclass(frozen=True)
class Arguments:
    """Swap a scene of `neurocity-serve` under load."""

    repository: Annotated[Path, tyro.conf.Positional]
    """Model repository of `neurocity-export`."""
    scene: str
    """Scene to swap."""
    engine: str = "auto"
    """Engine of the gateway."""
    swaps: int = 50
    """How often a new version comes."""
    clients: int = 4
    """Clients that ask again as soon as they are answered."""
    size: int = 256
    """Width and height of a picture, in pixels."""
    port: int = 8767
    """Port for the gateway."""


class Publisher:
    """Puts versions of a scene into a repository of its own; the files are linked, the manifests written."""

    def __init__(self, source: Path, scene: str, repository: Path) -> None:
        folders = [newest_version_folder(model) for model in models(source)]
        self._versions = [open_version(folder) for folder in folders]
        self._versions = [version for version in self._versions if version.manifest.scene == scene]
        if not self._versions:
            raise SystemExit(f"{source}: has no scene {scene!r}")
        self._repository = repository

    def publish(self, number: int) -> None:
        """Have that version in place in one step, in each format, without the one before the last."""
        for version in self._versions:
            model = self._repository / version.manifest.model_name
            model.mkdir(exist_ok=True)
            staged = model / ".staged"
            shutil.copytree(version.path, staged, copy_function=os.link)
            manifest = json.loads((staged / MANIFEST_FILE).read_text()) | {"version": number}
            (staged / MANIFEST_FILE).unlink()  # it is a link to the source's own
            (staged / MANIFEST_FILE).write_text(json.dumps(manifest))
            staged.rename(model / str(number))
            shutil.rmtree(model / str(number - 2), ignore_errors=True)


def main() -> None:
    """Print what became of pictures, swaps and memory."""
    arguments = tyro.cli(Arguments, description=__doc__)
    # On the repository's own file system, since files are linked.
    with tempfile.TemporaryDirectory(dir=arguments.repository.resolve().parent, prefix=".swaps-") as folder:
        publisher = Publisher(arguments.repository, arguments.scene, Path(folder))
        publisher.publish(1)
        options = ["--engine", arguments.engine, "--poll-seconds", "0.2", "--cache-bytes", "0"]
        with served(Path(folder), arguments.scene, arguments.port, *options) as (process, scene):
            print(f"{facts()}; {scene['engine']}, {arguments.size}x{arguments.size}\n", flush=True)
            asyncio.run(measure(arguments, publisher, process, look(scene)))


async def measure(
    arguments: Arguments, publisher: Publisher, process: psutil.Process, pictures: Pictures
) -> None:
    """Swap under load and print."""
    answers: list[Answer] = []
    done = asyncio.Event()
    clients = [asyncio.create_task(ask(arguments, pictures, answers, done)) for _ in range(arguments.clients)]
    seconds, memory = [], []
    for number in range(2, 2 + arguments.swaps):
        publisher.publish(number)
        seconds.append(await until_served(answers, str(number)))
        await asyncio.sleep(SETTLED_SECONDS)
        memory.append(process.memory_info().rss / 2**20)
    done.set()
    await asyncio.gather(*clients)
    warm = memory[min(WARM, len(memory)) - 1]
    tenth = " ".join(f"{size:.0f}" for size in memory[WARM - 1 :: 10])
    times = in_ms(seconds_of(answers))
    print(
        f"{arguments.swaps} swaps under {arguments.clients} clients: statuses {statuses(answers)}; "
        f"pictures p50 / p95 {times}; a new version is seen after {in_ms(seconds)} (p50 / p95, of which up "
        f"to 200 ms are the gateway's pause between looks); memory {warm:.0f} MiB after {WARM} swaps, "
        f"{memory[-1]:.0f} MiB after {arguments.swaps} ({memory[-1] / warm - 1:+.1%}), at most "
        f"{max(memory):.0f} MiB; every tenth: {tenth}"
    )


async def ask(arguments: Arguments, pictures: Pictures, answers: list[Answer], done: asyncio.Event) -> None:
    """Ask for pictures until all is done."""
    connection = Connection(arguments.port)
    while not done.is_set():
        answers.append(await connection.ask(pictures.post(arguments.size)))
    connection.close()


async def until_served(answers: list[Answer], version: str) -> float:
    """Seconds until a picture is of that version. Raises SystemExit when none is within a minute."""
    began = time.perf_counter()
    while time.perf_counter() - began < 60.0:
        if answers and answers[-1].headers.get("x-scene-version") == version:
            return time.perf_counter() - began
        await asyncio.sleep(0.005)
    raise SystemExit(f"version {version} was not served within a minute")


if __name__ == "__main__":
    main()
