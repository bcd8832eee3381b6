"""Builds images from the Dockerfile and runs them, without Docker: buildah builds, bubblewrap runs.

The base image is made of Debian's packages, since none is fetched. Containers have a read-only root, an empty
/tmp, a user without rights, this machine's network and nothing of its environment.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deploy.ports import free_port

REPOSITORY = Path(__file__).parents[1]
PROGRAMS = ("buildah", "bwrap", "mmdebstrap")
PACKAGES = "python3,python3-venv,ca-certificates"
"""What the base image has beside Debian's minimum."""
BASE, BUILD_BASE = "base", "build-base"
BASES = """
FROM scratch AS base
ADD base.tar /

FROM base AS build-base
RUN apt-get update && apt-get install -y --no-install-recommends g++
"""


class ImageError(RuntimeError):
    """A command that makes images has failed; its text has what the command said."""


@dataclass(frozen=True)
class Image:
    """An image: its name in the store, and what its containers are started with."""

    store: "Store"
    name: str
    config: Mapping[str, Any]

    @property
    def layers(self) -> int:
        """Of its files, each with those that it adds or changes."""
        facts = json.loads(self.store.run("inspect", "--type", "image", self.name))
        return len(facts["OCIv1"]["rootfs"]["diff_ids"])

    def environment(self) -> dict[str, str]:
        """Its ENV."""
        return dict(line.split("=", 1) for line in self.config["Env"])

    def health_command(self) -> list[str]:
        """Its HEALTHCHECK, which must need no shell."""
        kind, *words = self.config["Healthcheck"]["Test"]
        if kind != "CMD":
            raise ImageError(f"{self.name}: its health check is {kind}, expected CMD, which needs no shell")
        return words

    @contextmanager
    def mounted(self) -> Iterator["Container"]:
        """Its files, mounted until the context ends."""
        name = self.store.run("from", "--pull-never", self.name)
        try:
            yield Container(self, Path(self.store.run("mount", name)))
        finally:
            self.store.run("rm", name)


@dataclass(frozen=True)
class Container:
    """The mounted files of an image, and the way to run a command among them."""

    image: Image
    root: Path

    def words(
        self,
        *command: str,
        mounts: Mapping[str, Path] | None = None,
        writable: Mapping[str, Path] | None = None,
    ) -> list[str]:
        """The command line that runs the command in the container.

        mounts: paths in the container -> folders of this machine that it may read; `writable`: may write.
        """
        user, _, group = self.image.config["User"].partition(":")
        words = ["bwrap", "--unshare-user", "--uid", user, "--gid", group]
        words += ["--unshare-pid", "--as-pid-1", "--die-with-parent"]
        words += ["--ro-bind", str(self.root), "/", "--tmpfs", "/tmp", "--proc", "/proc", "--dev", "/dev"]
        for kind, bound in (("--ro-bind", mounts or {}), ("--bind", writable or {})):
            for inside, outside in bound.items():
                words += [kind, str(outside), inside]
        words += ["--chdir", self.image.config["WorkingDir"] or "/", "--"]
        return [*words, *command]

    @contextmanager
    def process(self, *command: str, mounts: Mapping[str, Path], **environment: str) -> Iterator["Process"]:
        """A command that runs in the container, whose process 1 it is, and is killed in the end."""
        said, say = os.pipe()
        words = self.words(*command, mounts=mounts)
        outer = subprocess.Popen(
            [words[0], "--info-fd", str(say), *words[1:]],
            env=self.environment(**environment),
            stdout=subprocess.PIPE,
            text=True,
            pass_fds=[say],
        )
        os.close(say)
        try:
            with os.fdopen(said) as file:
                yield Process(outer, json.load(file)["child-pid"])
        finally:
            outer.kill()
            outer.communicate()

    @contextmanager
    def gateway(
        self, models: Path, port: int | None = None, **environment: str
    ) -> Iterator[tuple["Process", int]]:
        """The image's gateway with a model repository, from the start of its process, and its port."""
        port = port or free_port()
        environment |= {"NEUROCITY_PORT": str(port)}
        with self.process(*self.entry_point(), mounts={"/models": models}, **environment) as process:
            yield process, port

    def entry_point(self, *arguments: str) -> list[str]:
        """The image's ENTRYPOINT with arguments."""
        return [*self.image.config["Entrypoint"], *arguments]

    def environment(self, **changed: str) -> dict[str, str]:
        """What a command of it is started with; bubblewrap is found by this machine's own path."""
        return self.image.environment() | changed


@dataclass(frozen=True)
class Process:
    """A process in a container: bubblewrap's, which ends as it does, and its number on this machine."""

    outer: subprocess.Popen[str]
    pid: int

    def until_it_listens(self) -> None:
        """Wait until a gateway says so. Raises ImageError."""
        line = self.outer.stdout.readline() if self.outer.stdout is not None else ""
        if not line.startswith("NeuroCity serves at http://0.0.0.0:"):
            raise ImageError(f"the gateway says {line!r}")

    def stop(self, seconds: float) -> int:
        """Tell it to end, as `docker stop` does, and wait; its exit code."""
        os.kill(self.pid, signal.SIGTERM)
        return self.outer.wait(seconds)


class Store:
    """Images in a folder of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def run(self, *words: str, **arguments: Any) -> str:
        """What a command of buildah prints. Raises ImageError."""
        options = ["--root", str(self.folder / "images"), "--runroot", str(self.folder / "running")]
        return run("buildah", *options, *words, **arguments)

    def make_bases(self) -> None:
        """Images of Debian with Python, the second with a compiler, for those that the Dockerfile names.

        Nothing is done where the store has them. Raises ImageError.
        """
        if self.run("images", "--noheading", "--filter", f"reference=localhost/{BUILD_BASE}"):
            return
        context = self.folder / "base"
        context.mkdir(parents=True, exist_ok=True)
        tar = str(context / "base.tar")
        run("mmdebstrap", "--variant=minbase", f"--include={PACKAGES}", "bookworm", tar)
        (context / "Dockerfile").write_text(BASES)
        for name in (BASE, BUILD_BASE):
            self.run(
                "bud", "--isolation", "chroot", "--target", name, "-t", f"localhost/{name}", str(context)
            )
        shutil.rmtree(context)

    def build(self, target: str, *, again: bool = False) -> Image:
        """A target of the Dockerfile over these.

        again: under another name, and no layer of an earlier build is taken. Raises ImageError.
        """
        words = ["bud", "--layers", "--timestamp", "0", "--isolation", "chroot", "--pull-never"]
        words += ["--format", "docker"]  # as `docker build`; OCI's has no health check
        for name, value in {"BASE": BASE, "BUILD_BASE": BUILD_BASE}.items():
            words += ["--build-arg", f"{name}=localhost/{value}"]
        for path in pip_files():
            words += ["--volume", f"{path}:{path}:ro"]
        name = f"localhost/{target}{'-again' if again else ''}"
        words += ["--no-cache"] if again else []
        self.run(*words, "--target", target, "-t", name, str(REPOSITORY))
        return self.image(name)

    def image(self, name: str) -> Image:
        """An image of the store."""
        facts = json.loads(self.run("inspect", "--type", "image", name))
        config = facts["Docker"]["config"]  # the OCI's has no health check
        return Image(self, name, config)


def run(*words: str, **arguments: Any) -> str:
    """What a command prints. Raises ImageError."""
    done = subprocess.run(words, capture_output=True, text=True, check=False, **arguments)
    if done.returncode:
        raise ImageError(f"{shlex.join(words)}:\n{done.stdout[-4000:]}\n{done.stderr[-4000:]}")
    return done.stdout.strip()


def pip_files() -> list[str]:
    """The files that tell pip of this machine where packages are, and local folders that they name."""
    words = [sys.executable, "-m", "pip", "config"]
    listed, places = (
        subprocess.run([*words, what], capture_output=True, text=True, check=True).stdout
        for what in ("list", "debug")
    )
    files = re.findall(r"^ *(/\S+), exists: True", places, re.MULTILINE)
    named = re.findall(r"(?<=[\s'])(/[^\s']+)", listed)
    # An index in a folder leads to files beside it.
    indexes = [str(Path(path).parent) for path in re.findall(r"file://(/[^\s']+)", listed)]
    found = {path for path in ("/etc/ssl/certs", *files, *named, *indexes) if Path(path).exists()}
    return sorted(found)


def paths(root: Path) -> Iterator[Path]:
    """All that is below a folder."""
    for folder, folders, names in os.walk(root):
        yield from (Path(folder, name) for name in (*folders, *names))


def bytes_of(root: Path) -> int:
    """Bytes of all files below a folder, each once."""
    found = {}
    for path in paths(root):
        status = path.lstat()
        if not stat.S_ISDIR(status.st_mode):
            found[status.st_ino] = status.st_size
    return sum(found.values())


def contents(root: Path) -> dict[str, tuple[object, ...]]:
    """Path below a folder -> its kind and mode, owner, group, time, and SHA-256 or where the link leads."""
    found: dict[str, tuple[object, ...]] = {}
    for path in paths(root):
        status = path.lstat()
        inside: object = None
        if stat.S_ISREG(status.st_mode):
            with path.open("rb") as file:
                inside = hashlib.file_digest(file, "sha256").hexdigest()
        elif stat.S_ISLNK(status.st_mode):
            inside = str(path.readlink())
        facts = (oct(status.st_mode), status.st_uid, status.st_gid, status.st_mtime)
        found[path.relative_to(root).as_posix()] = (*facts, inside)
    return found


def missing() -> str:
    """Why images cannot be built here; empty when they can."""
    absent = [name for name in PROGRAMS if shutil.which(name) is None]
    if absent:
        return f"images need {', '.join(absent)}, which Debian has; install them"
    return "" if os.geteuid() == 0 else "images are built as root, without a container around"
