"""The page's own renderer in headless Chromium, for the proof: what it draws of a scene, as floats.

The page is served by this process, on an address that nobody else knows, and posts its pictures back: a page
of `file://` could only be read when virtual time is over, which does not wait for workers.
"""

import json
import math
import os
import re
import secrets
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import Final

import numpy as np

from export.renderer import Picture
from export.web.header import FILE, Header, read_header
from export.web.page.join import joined
from neurocity.contract import View
from neurocity.errors import MissingDependencyError, ParityError
from neurocity.viewer.files import FOLDER

_NAMES: Final = ("chromium", "chromium-browser", "google-chrome", "chrome")
_ARGUMENTS: Final = (
    "--headless=new",
    "--no-first-run",
    # Draws on every processor, and the same on each.
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
)
_PAGE: Final = b'<!doctype html><meta charset="utf-8"><script src="proof.js"></script>'
_TYPES: Final = {".html": "text/html", ".js": "text/javascript", ".json": "application/json"}
PATIENCE_SECONDS: Final = 240.0
"""From one word of the page to the next."""
MOST_TEXELS: Final = 4096 * 8192
"""Of a texture of SwiftShader, in the rows that the page makes."""


def draw_in_chromium(
    files: Mapping[str, bytes], views: Sequence[View], *, shown: bool = False
) -> tuple[str, list[Picture]]:
    """What drew, and the pictures of the views; files: `scene.js` and the groups of a scene.

    shown: with colours as the page draws them, over the scene's background and so with opacity 1; otherwise
    each ray computes its own.

    Raises MissingDependencyError when there is no Chromium, or one that does not start or does not draw into
    floats, or when the scene is too large for it; and ParityError when the scene cannot be drawn, or when
    Chromium dies or hangs over it.
    """
    header = read_header(files[FILE])
    cells = sum(level.cells for level in header.levels)
    if cells * _most_texels(header) > MOST_TEXELS:
        raise MissingDependencyError(
            f"the {cells:,} cells of the scene do not fit{', as floats,' if header.bits.floats else ''} into "
            "the textures of Chromium"
        )
    executable = next(filter(None, map(shutil.which, _NAMES)), None)
    if executable is None:
        raise MissingDependencyError(f"no browser is installed, looked for {', '.join(_NAMES)}")
    script = joined(FOLDER, "scene/groups.js", "scene/scene.js", ending=_source("proof.js"))
    asked = json.dumps({"isShown": shown, "views": [_asked(view) for view in views]})
    served = {**files, "index.html": _PAGE, "proof.js": script.encode(), "views.json": asked.encode()}
    with _served(served) as (address, messages), _running(executable, address) as process:
        return _received(messages, process, views)


def _most_texels(header: Header) -> int:
    """Of a cell in one texture, see `CellTextures` and `colourTexels` of the page."""
    harmonics = int(header.settings["sh_degree"] + 1) ** 2
    if header.bits.floats:
        return max(math.ceil(3 * harmonics / 4), 2)
    return math.ceil((6 + 3 * (harmonics - 1)) / 16)


def _received(
    messages: "Queue[tuple[str, bytes]]", process: "subprocess.Popen[bytes]", views: Sequence[View]
) -> tuple[str, list[Picture]]:
    pictures: list[Picture] = []
    has_begun = False
    while True:
        try:
            what, body = _next(messages, process)
        except MissingDependencyError as error:
            if has_begun:  # it was there, until it drew this scene
                raise ParityError(f"the page's renderer fails: {error}") from None
            raise
        if what == "begin":
            has_begun = True
            continue
        if what == "missing":
            raise MissingDependencyError(f"Chromium cannot draw the scene: {body.decode()}")
        if what == "error":
            raise ParityError(f"the page's renderer fails: {body.decode()}")
        if what == "end":
            version = re.search(r"Chrome/([\w.]+)", body.decode())
            return f"Chromium {version[1] if version else 'of no version'} with SwiftShader", pictures
        view = views[len(pictures)]
        floats = np.frombuffer(body, "<f4").reshape(view.width * view.height, 4)
        pictures.append((floats[:, :3], floats[:, 3]))


def _next(messages: "Queue[tuple[str, bytes]]", process: "subprocess.Popen[bytes]") -> tuple[str, bytes]:
    """What the page says next. Raises MissingDependencyError when the browser has ended or says nothing."""
    waited = 0.0
    while waited < PATIENCE_SECONDS:
        with suppress(Empty):
            return messages.get(timeout=1.0)
        if process.poll() is not None:
            raise MissingDependencyError(f"Chromium ended by itself with code {process.returncode}")
        waited += 1.0
    raise MissingDependencyError(f"Chromium has drawn nothing for {PATIENCE_SECONDS:g} s")


@contextmanager
def _served(files: Mapping[str, bytes]) -> Iterator[tuple[str, "Queue[tuple[str, bytes]]"]]:
    """The address of a page, and what it posts."""
    secret = secrets.token_urlsafe()
    messages: Queue[tuple[str, bytes]] = Queue()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            name = self._name()
            if name is None or name not in files:
                return self.send_error(HTTPStatus.NOT_FOUND)
            return self._answer(files[name], _TYPES[Path(name).suffix])

        def do_POST(self) -> None:
            name = self._name()
            if name is None:
                return self.send_error(HTTPStatus.NOT_FOUND)
            messages.put((name, self.rfile.read(int(self.headers["Content-Length"]))))
            return self._answer(b"", "text/plain")

        def log_message(self, *_: object) -> None:
            """Nobody reads it."""

        def _name(self) -> str | None:
            """The file that is asked for; None for who does not know the address."""
            key, _, name = self.path.removeprefix("/").partition("?")[0].partition("/")
            return name if secrets.compare_digest(key.encode(), secret.encode()) else None

        def _answer(self, content: bytes, kind: str) -> None:
            self.send_response(HTTPStatus.OK)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}/{secret}/index.html", messages
        finally:
            server.shutdown()
            thread.join()


@contextmanager
def _running(executable: str, address: str) -> Iterator["subprocess.Popen[bytes]"]:
    """Chromium with that page, in a group of its own, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="neurocity-chromium-", ignore_cleanup_errors=True) as profile:
        # Chromium does not start as root with its sandbox; the page is ours.
        sandbox = ["--no-sandbox"] if os.geteuid() == 0 else []
        command = [executable, *_ARGUMENTS, *sandbox, f"--user-data-dir={profile}", address]
        process = subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _asked(view: View) -> dict[str, object]:
    """A view as the page's renderer takes it."""
    matrix = [number for row in view.camera_to_world for number in row]
    names = ("width", "height", "fl_x", "fl_y", "cx", "cy")
    return {"cameraToWorld": matrix, **{name: getattr(view, name) for name in names}}


def _source(name: str) -> str:
    return Path(__file__).with_name(name).read_text(encoding="utf-8")
