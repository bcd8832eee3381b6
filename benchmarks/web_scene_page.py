"""A page that shows web scenes by the viewer's own modules alone: for measurements and tests."""

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache, partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from neurocity.cameras import Camera
from neurocity.viewer.files import FOLDER

if TYPE_CHECKING:
    from playwright.sync_api import Page

_HEADLESS = ("--headless=new", "--no-sandbox")
RENDERERS = {
    "llvmpipe": (*_HEADLESS, "--use-angle=gl-egl", "--ignore-gpu-blocklist"),
    "SwiftShader": (*_HEADLESS, "--use-angle=swiftshader", "--enable-unsafe-swiftshader"),
}
"""Programs that draw without a graphics processor -> options of Chromium. The first needs libegl1 and
libgl1-mesa-dri."""

_PAGE = b"""<!doctype html>
<link rel="icon" href="data:,">
<body>
<script type="module">
import * as colours from "./viewer/scene/colours.glsl.js";
import * as decode from "./viewer/scene/decode.js";
import * as groups from "./viewer/scene/groups.js";
import * as header from "./viewer/scene/header.js";
import * as scenes from "./viewer/scene/scene.js";
import * as walk from "./viewer/scene/walk.glsl.js";

window.view = document.body.appendChild(document.createElement("canvas"));

/** Show the scene of that folder; change: of its settings. */
async function open(name, { change = {}, options = {} } = {}) {
  window.scene?.close();
  Object.assign(window.view, { width: 48, height: 36 });
  const header = await groups.loadHeader(`${name}/`);
  Object.assign(header.settings, change);
  window.progress = [];
  const onProgress = (state) => window.progress.push({ ...state, ms: performance.now() });
  const source = groups.groupSource(header, `${name}/`);
  window.scene = await scenes.openScene(window.view, header, source, { ...options, onProgress });
}

/** Bytes of an array in base64. */
function text(array) {
  const characters = Array.from(new Uint8Array(array.buffer), (byte) => String.fromCharCode(byte));
  return btoa(characters.join(""));
}

function glError() {
  return window.scene ? window.view.getContext("webgl2").getError() : 0;
}

Object.assign(window, { ...colours, ...decode, ...groups, ...header, ...scenes, ...walk });
Object.assign(window, { open, text, glError, isReady: true });
</script>
"""


class _Handler(SimpleHTTPRequestHandler):
    """Files of a folder, the viewer's modules, and the page; scripts are compressed as hosts do it."""

    def do_GET(self) -> None:
        path = unquote(self.path.partition("?")[0])
        if path == "/":
            return self._answer(_PAGE, "text/html")
        inside = FOLDER / path.removeprefix("/viewer/")
        file = inside if path.startswith("/viewer/") else Path(self.directory) / path[1:]
        if not file.is_file():
            return self.send_error(404)
        return self._answer(_compressed(file, file.stat().st_mtime_ns), "text/javascript", "gzip")

    def _answer(self, content: bytes, kind: str, encoding: str = "identity") -> None:
        self.send_response(200)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Encoding", encoding),
            ("Content-Length", str(len(content))),
            ("Cache-Control", "no-store"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Say nothing of requests."""


@lru_cache
def _compressed(file: Path, _written_ns: int) -> bytes:
    return gzip.compress(file.read_bytes(), 6)


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a page on which the scenes in that folder can be opened, by `open`."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()
    thread.join()


def graphics_processor(page: "Page") -> str:
    """What computes, as the browser says it; empty where there is no WebGL2."""
    name: str = page.evaluate("""() => {
      const gl = document.createElement("canvas").getContext("webgl2");
      const names = gl?.getExtension("WEBGL_debug_renderer_info");
      return gl ? gl.getParameter(names ? names.UNMASKED_RENDERER_WEBGL : gl.RENDERER) : "";
    }""")
    return name


def view_of(camera: Camera) -> dict[str, Any]:
    """A camera as `WebScene.draw` takes it."""
    intrinsics = {name: camera.intrinsics[name] for name in ("fl_x", "fl_y", "cx", "cy")}
    return {"cameraToWorld": camera.camera_to_world.flatten().tolist(), **intrinsics}
