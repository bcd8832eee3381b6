"""Faults of the object storage that a gateway serves from: what clients see of each.

    python -m benchmarks.storage REPOSITORY --scene NAME
    python -m benchmarks.storage REPOSITORY --scene NAME --dead-seconds 60

It puts the scene's newest version into an S3 server of its own (rclone), starts a gateway on that, and asks
for pictures, all different, while it does to the storage what each row of the table says.
"""

import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import tyro

from benchmarks.gateway import served
from benchmarks.load.bench import in_ms, seconds_of, statuses
from benchmarks.load.client import Answer, Connection, Pictures, look
from benchmarks.machine import facts
from benchmarks.s3_server import S3Server, running_s3
from benchmarks.swaps import Publisher, until_served
from export.repository.upload import upload
from neurocity.contract import MANIFEST_FILE
from neurocity.model_repository import models, open_version
from neurocity.object_store import ObjectStore

URL = "s3://bucket/models"
POLL_SECONDS = 0.5
PAUSE_SECONDS = 0.05
"""Of a client, between an answer and its next question."""


@dataclass(frozen=True)
class Arguments:
    """Break the object storage of `neurocity-serve`."""

    repository: Annotated[Path, tyro.conf.Positional]
    """Model repository of `neurocity-export`."""
    scene: str
    """Scene to serve."""
    engine: str = "auto"
    """Engine of the gateway."""
    dead_seconds: float = 60.0
    """How long the S3 server is dead."""
    size: int = 128
    """Width and height of a picture, in pixels."""
    port: int = 8769
    """Port for the gateway."""


class Faults:
    """What is done to the storage, and what has to come of it. objects: its files."""

    def __init__(
        self, arguments: Arguments, held: ExitStack, server: S3Server, publisher: Publisher, made: Path
    ) -> None:
        self.arguments, self.held, self.server = arguments, held, server
        self.publisher, self.made = publisher, made
        self.objects = made.parent / "s3" / "bucket" / "models"
        self.answers: list[Answer] = []

    def put(self, number: int) -> None:
        """Upload a version of that number, in each format."""
        self.publisher.publish(number)
        for model in models(self.made):
            upload(model, number, ObjectStore(URL))

    async def comes(self, number: int) -> str:
        """Wait for a picture of a version; in words."""
        return f"version {number} after {await until_served(self.answers, str(number)):.1f} s"

    async def stays(self, number: int, seconds: float) -> str:
        """Every picture of the next seconds is of that version; in words. Raises SystemExit."""
        first = len(self.answers)
        await asyncio.sleep(seconds)
        versions = {answer.headers.get("x-scene-version") for answer in self.answers[first:]}
        if versions != {str(number)}:
            raise SystemExit(f"got pictures of versions {versions}, expected of {number} alone")
        return f"version {number} stays"

    async def new_version(self) -> str:
        """A new version is uploaded"""
        await asyncio.to_thread(self.put, 2)
        return await self.comes(2)

    async def broken_off(self) -> str:
        """An upload ends before the manifest; it is done again"""
        self.publisher.publish(3)
        for model in models(self.made):
            version = open_version(model / "3")
            name = f"{model.name}/3/{version.artefact.name}"
            await asyncio.to_thread(ObjectStore(URL).upload, version.artefact, name)
        stayed = await self.stays(2, 4 * POLL_SECONDS)
        for model in models(self.made):
            await asyncio.to_thread(upload, model, 3, ObjectStore(URL))
        return f"{stayed}; {await self.comes(3)}"

    async def dead(self) -> str:
        """The server is killed, and started again"""
        self.server.process.kill()
        self.server.process.wait()
        stayed = await self.stays(3, self.arguments.dead_seconds)
        folder = self.objects.parents[1]
        self.held.enter_context(running_s3(folder, self.server.port))
        await asyncio.to_thread(self.put, 4)
        return f"{stayed}; {await self.comes(4)}"

    async def truncated(self) -> str:
        """A new version's objects are cut to half; they are uploaded whole"""
        return await self.damaged(5, lambda content: content[: len(content) // 2])

    async def other_bytes(self) -> str:
        """A new version's objects have one other bit; they are uploaded whole"""
        return await self.damaged(6, lambda content: content[:-1] + bytes([content[-1] ^ 1]))

    async def damaged(self, number: int, damage: Callable[[bytes], bytes]) -> str:
        """A version whose artefacts are damaged, and then mended."""
        self.publisher.publish(number)
        store, whole = ObjectStore(URL), []
        for model in models(self.made):
            version = open_version(model / str(number))
            content, name = version.artefact.read_bytes(), f"{model.name}/{number}"
            broken = self.made.parent / "broken"
            broken.write_bytes(damage(content))
            await asyncio.to_thread(store.upload, broken, f"{name}/{version.artefact.name}")
            await asyncio.to_thread(store.upload, version.path / MANIFEST_FILE, f"{name}/{MANIFEST_FILE}")
            whole.append((version.artefact, f"{name}/{version.artefact.name}"))
        stayed = await self.stays(number - 1, 6 * POLL_SECONDS)
        for file, name in whole:
            await asyncio.to_thread(store.upload, file, name)
        return f"{stayed}; {await self.comes(number)}"


def main() -> None:
    """Print a row for each fault."""
    arguments = tyro.cli(Arguments, description=__doc__)
    with (
        tempfile.TemporaryDirectory(dir=arguments.repository.resolve().parent, prefix=".storage-") as name,
        ExitStack() as held,
    ):
        folder = Path(name)
        for part in ("made", "s3/bucket"):
            (folder / part).mkdir(parents=True)
        server = held.enter_context(running_s3(folder / "s3"))
        os.environ.update(server.environment())
        publisher = Publisher(arguments.repository, arguments.scene, folder / "made")
        faults = Faults(arguments, held, server, publisher, folder / "made")
        faults.put(1)
        options = ["--engine", arguments.engine, "--poll-seconds", str(POLL_SECONDS), "--cache-bytes", "0"]
        began = time.perf_counter()
        with served(URL, arguments.scene, arguments.port, *options) as (_, scene):
            ready = time.perf_counter() - began
            print(f"{facts()}; {scene['engine']}, {arguments.size}x{arguments.size}\n")
            print("| what was done | pictures | p50 / p95, ms | what clients saw |\n|---|---|---|---|")
            print(f"| A gateway starts | | | its first answer after {ready:.1f} s |", flush=True)
            asyncio.run(measure(arguments, faults, look(scene)))
        print(f"| A gateway starts with a wrong secret | | | {wrong_secret(server)} |")


async def measure(arguments: Arguments, faults: Faults, pictures: Pictures) -> None:
    """Do one after the other under a client, and print."""
    done = asyncio.Event()
    client = asyncio.create_task(ask(arguments, pictures, faults.answers, done))
    await until_served(faults.answers, "1")
    steps: list[Callable[[], Awaitable[str]]] = [
        faults.new_version,
        faults.broken_off,
        faults.dead,
        faults.truncated,
        faults.other_bytes,
    ]
    for step in steps:
        first = len(faults.answers)
        seen = await step()
        answers = faults.answers[first:]
        times = in_ms(seconds_of(answers))
        print(f"| {step.__doc__} | {statuses(answers)} | {times} | {seen} |", flush=True)
    done.set()
    await client


async def ask(arguments: Arguments, pictures: Pictures, answers: list[Answer], done: asyncio.Event) -> None:
    """Ask for pictures until all is done."""
    connection = Connection(arguments.port)
    while not done.is_set():
        answers.append(await connection.ask(pictures.post(arguments.size)))
        await asyncio.sleep(PAUSE_SECONDS)
    connection.close()


def wrong_secret(server: S3Server) -> str:
    """How a gateway ends whose credentials are wrong."""
    program = str(Path(sys.executable).with_name("neurocity-serve"))
    result = subprocess.run(
        [program, "--repository", URL, "--port", "0"],
        env=os.environ | server.environment(secret="a-wrong-one"),
        capture_output=True,
        text=True,
        check=False,
    )
    line = result.stderr.strip().splitlines()[-1]
    return f"exit code {result.returncode}: `{line}`"


if __name__ == "__main__":
    main()
