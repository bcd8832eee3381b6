"""The images of the Dockerfile: how large they are, how long they are built and started, and built twice.

    python -m benchmarks.images REPOSITORY --scene NAME
    python -m benchmarks.images REPOSITORY --scene NAME --targets serve --twice

It builds them as the tests do, by buildah over a base of Debian's packages, in a temporary folder, and takes
root. A start begins with the gateway's process in its container, and has its files in memory or not.
"""

import asyncio
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Annotated

import httpx
import psutil
import tyro

from benchmarks.load.client import Pictures, ask_once, get, look
from benchmarks.machine import facts
from deploy.containers import BASE, Container, Image, Store, bytes_of, contents, missing, paths

SIDE = 256
"""Of the first picture, in pixels."""
WAIT_SECONDS = 0.005
"""Between two questions whether a gateway is ready."""
LONGEST_SECONDS = 600.0
"""Until it has to be."""
MOST_SHOWN = 20


@dataclass(frozen=True)
class Arguments:
    """Build the images, and start the gateway's."""

    repository: Annotated[Path, tyro.conf.Positional]
    """Model repository of `neurocity-export`, which every user may read."""
    scene: str
    """Scene to ask for."""
    targets: tuple[str, ...] = ("serve", "serve-torch", "train", "export")
    """Targets of the Dockerfile, in the order in which they are built."""
    starts: int = 5
    """Of the gateway, with its files in memory and without each."""
    store: Path | None = None
    """Folder that keeps the images; a temporary one otherwise. What is there already is not built again."""
    twice: bool = False
    """Build serve once more, without what the first build has left, and compare."""


@dataclass(frozen=True)
class Start:
    """Seconds from the start of a gateway's process until it is ready, what this took of
    processors, and seconds until its first picture.
    """

    ready: float
    used: float
    picture: float


def main() -> None:
    """Print a table of images, one of starts, and what differs between two builds."""
    arguments = tyro.cli(Arguments, description=__doc__)
    if reason := missing():
        raise SystemExit(reason)
    with tempfile.TemporaryDirectory(prefix="neurocity-images-") as folder:
        store = Store(arguments.store or Path(folder))
        print(f"{facts()}\n")
        store.make_bases()
        base = size(store.image(f"localhost/{BASE}"))
        print(
            "| image | built in, s | of processors, s | over its base, MB | layers |\n|---|---|---|---|---|"
        )
        print(f"| the base, {base / 1e6:.0f} MB | | | 0 | |", flush=True)
        for target in arguments.targets:
            began, used = time.perf_counter(), processor_seconds()
            image = store.build(target)
            seconds, used = time.perf_counter() - began, processor_seconds() - used
            over = (size(image) - base) / 1e6
            print(f"| `{target}` | {seconds:.0f} | {used:.0f} | {over:.0f} | {image.layers} |", flush=True)
        serve = store.build("serve")
        print(f"\n| files of `serve` | ready after, s | of processors, s | {SIDE}x{SIDE} after, s |")
        print("|---|---|---|---|")
        with serve.mounted() as container:
            pictures = look(described(container, arguments))
            rows = {"on the disk": lambda: forget(container.root), "in memory": lambda: None}
            for label, prepare in rows.items():
                starts = [start(container, arguments, pictures, prepare) for _ in range(arguments.starts)]
                columns = zip(*map(astuple, starts), strict=True)
                print(f"| {label} | {' | '.join(map(spread, columns))} |", flush=True)
        if arguments.twice:
            print(f"\n{compared(serve, store.build('serve', again=True))}")


def processor_seconds() -> float:
    """Of all commands that were run and have ended: what a busy machine does not make longer."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def size(image: Image) -> int:
    """Bytes of its files."""
    with image.mounted() as container:
        return bytes_of(container.root)


def spread(values: Iterable[float]) -> str:
    """The median, and the least and the most."""
    values = sorted(values)
    return f"{statistics.median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})"


def described(container: Container, arguments: Arguments) -> dict:
    """What a gateway says of the scene."""
    with container.gateway(arguments.repository.resolve()) as (process, port):
        process.until_it_listens()
        answer = httpx.get(f"http://127.0.0.1:{port}/v1/scenes/{arguments.scene}", timeout=60.0)
        return answer.raise_for_status().json()


def forget(root: Path) -> None:
    """Have the files below a folder read from the disk by who reads them next."""
    os.sync()  # what is not written yet stays
    for path in paths(root):
        if path.is_file() and not path.is_symlink():
            file = os.open(path, os.O_RDONLY)
            os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
            os.close(file)


def start(
    container: Container, arguments: Arguments, pictures: Pictures, prepare: Callable[[], object]
) -> Start:
    """Start a gateway, ask it until it is ready, and for a picture.

    Raises SystemExit when it ends, or is not ready in time.
    """
    prepare()
    began = time.perf_counter()
    with container.gateway(arguments.repository.resolve()) as (process, port):
        while (got := status(port, get("/readyz"))) != 200:
            if time.perf_counter() - began > LONGEST_SECONDS:
                raise SystemExit(f"/readyz: got status {got} for {LONGEST_SECONDS:g} s, expected 200")
            if process.outer.poll() is not None:
                raise SystemExit(f"the gateway ended with code {process.outer.returncode}")
            time.sleep(WAIT_SECONDS)
        ready = time.perf_counter() - began
        times = psutil.Process(process.pid).cpu_times()
        if (got := status(port, pictures.post(SIDE))) != 200:
            raise SystemExit(f"the first picture: got status {got}, expected 200")
        return Start(ready, times.user + times.system, time.perf_counter() - began)


def status(port: int, request: bytes) -> int:
    """The status that a request is answered with; 0 where nobody listens."""
    try:
        return asyncio.run(ask_once(port, request)).status
    except ConnectionRefusedError:
        return 0


def compared(first: Image, second: Image) -> str:
    """What differs between two images, in words."""
    with first.mounted() as one, second.mounted() as other:
        before, after = contents(one.root), contents(other.root)
    different = sorted(path for path in before.keys() | after.keys() if before.get(path) != after.get(path))
    lines = [f"- `{path}`: {before.get(path)} and {after.get(path)}" for path in different[:MOST_SHOWN]]
    counts = f"{len(before)} paths of serve, built twice: {len(different)} differ"
    return "\n".join([counts, *lines])


if __name__ == "__main__":
    main()
