"""How a web scene loads and draws in Chromium on this machine, without a graphics processor.

    python -m benchmarks.web MODEL_REPOSITORY/SCENE_web/VERSION

Pictures are the held-out views at one size, drawn by the viewer's modules in both programs that stand in for
a graphics processor. Times of frames are medians; processor time, which other work on the machine changes
less, is a mean. The connection is throttled by the browser.
"""

import base64
import json
import shutil
import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import tyro

from benchmarks.machine import facts
from benchmarks.web_scene_page import RENDERERS, graphics_processor, served

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

_LATENCY_MS = 20
_PATIENCE_MS = 120_000
_FRAMES = 5

_DECODE = """async (name) => {
  const header = await loadHeader(`${name}/`);
  const source = groupSource(header, `${name}/`);
  const groups = [];
  for (let number = 0; number < header.groups.length; number++) groups.push(await source(number));
  const decoder = await openDecoder(decoderDescription(header, readModel(header)));
  const began = performance.now();
  for (const [number, packed] of groups.entries()) await decoder.decode(packed, header.groups[number].blocks);
  decoder.close();
  return performance.now() - began;
}"""
_LOAD = """async ([name, view, size]) => {
  Object.assign(window.view, size);
  const drawn = [];
  const draw = async () => {
    scene.draw(view, size);
    await scene.finished();
    drawn.push(performance.now());
  };
  await open(name);
  await draw();
  await scene.loaded;
  await draw();
  return { first: drawn[0], full: drawn[1], progress, bytes: scene.graphicsBytes };
}"""
# Where the eye moves, if by a little, colours are computed anew.
_DRAW = """async ([view, size, frames, step]) => {
  const times = [];
  for (let frame = 0; frame < frames; frame++) {
    const cameraToWorld = [...view.cameraToWorld];
    cameraToWorld[3] += step * frame;
    scene.draw({ ...view, cameraToWorld }, size);
    times.push(await scene.finished());
  }
  return times;
}"""
_STEP = 1e-3
"""Scene units."""


@dataclass(frozen=True)
class Arguments:
    """Measure a web folder of `neurocity-export --formats web`."""

    folder: Annotated[Path, tyro.conf.Positional]
    """The folder with `scene.js`."""
    width: int = 320
    """Width of the pictures in pixels."""
    height: int = 240
    """Height of the pictures in pixels."""
    views: int = 4
    """How many of the held-out views are drawn."""
    megabits: float = 10.0
    """Megabits a second of the connection."""


def main() -> None:
    """Print the figures of both renderers."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415, tests want the rest without it

    arguments = tyro.cli(Arguments, description=__doc__)
    script = (arguments.folder / "scene.js").read_text()
    header = json.loads(script[script.index("(") + 1 : script.rindex(")")])
    cells = sum(level["cells"] for level in header["levels"])
    size = sum(group["bytes"] for group in header["groups"])
    print(
        f"{facts()}; {arguments.width}x{arguments.height}, {arguments.views} views; {cells:,} cells, "
        f"{size / 1e6:.2f} MB of scripts, {arguments.megabits:g} Mbit/s\n"
    )
    print(
        "| drawn by | first picture, s | full picture, s | decoding, ms | frame: ms / processor ms "
        "| while the eye moves | loops a pixel: mean / most | fetches of nodes | textures, MB |"
    )
    print("|---|---|---|---|---|---|---|---|---|")
    with served(arguments.folder.parent) as address, sync_playwright() as driver:
        executable = shutil.which("chromium") or shutil.which("google-chrome")
        for name, options in RENDERERS.items():
            browser = driver.chromium.launch(executable_path=executable, args=options)
            print(f"| {name} | {' | '.join(_figures(browser, address, header, arguments))} |")
            browser.close()


def _figures(browser: "Browser", address: str, header: dict[str, Any], arguments: Arguments) -> list[str]:
    name = arguments.folder.name
    size = {"width": arguments.width, "height": arguments.height}
    views = [_resized(view, **size) for view in header["manifest"]["info"]["views"][: arguments.views]]
    page = browser.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    _go(page, address)
    if not graphics_processor(page):
        return ["no WebGL2"]
    decoding = page.evaluate(_DECODE, name)
    connection = page.context.new_cdp_session(page)
    bytes_per_second = arguments.megabits * 1e6 / 8
    connection.send(
        "Network.emulateNetworkConditions",
        {
            "offline": False,
            "latency": _LATENCY_MS,
            "downloadThroughput": bytes_per_second,
            "uploadThroughput": bytes_per_second,
        },
    )
    _go(page, address)
    loaded = page.evaluate(_LOAD, [name, views[0], size])
    frames: dict[str, list[float]] = {"still": [], "moving": []}
    processor = dict.fromkeys(frames, 0.0)
    loops, fetches = [], []
    for view in views:
        page.evaluate(_DRAW, [view, size, 1, 0.0])
        for way, step in (("still", 0.0), ("moving", _STEP)):
            before = _processor_seconds(browser)
            frames[way] += page.evaluate(_DRAW, [view, size, _FRAMES, step])
            processor[way] += (_processor_seconds(browser) - before) / (_FRAMES * len(views))
        text = page.evaluate(
            "([view, size]) => text(scene.readFloats(view, { ...size, output: 'depth' }))", [view, size]
        )
        walked = np.frombuffer(base64.b64decode(text), np.float32).reshape(-1, 4)
        loops.append(walked[:, 1])
        fetches.append(walked[:, 2])
    times = [f"{statistics.median(frames[way]):.0f} / {1000 * processor[way]:.0f}" for way in frames]
    return [
        f"{loaded['first'] / 1000:.2f}",
        f"{loaded['full'] / 1000:.2f}",
        f"{decoding:.0f}",
        *times,
        f"{np.mean(loops):.0f} / {np.max(loops):.0f}",
        f"{np.mean(fetches):.0f}",
        f"{loaded['bytes'] / 1e6:.1f}",
    ]


def _processor_seconds(browser: "Browser") -> float:
    """What all processes of the browser have taken so far."""
    session = browser.new_browser_cdp_session()
    seconds = sum(process["cpuTime"] for process in session.send("SystemInfo.getProcessInfo")["processInfo"])
    session.detach()
    return float(seconds)


def _go(page: "Page", address: str) -> None:
    page.goto(address)
    page.wait_for_function("window.isReady")


def _resized(view: dict[str, Any], width: int, height: int) -> dict[str, Any]:
    """A held-out view with as high a field of view in a picture of another size."""
    scale = height / view["height"]
    pose = [number for row in view["camera_to_world"] for number in row]
    return {
        "cameraToWorld": pose,
        "fl_x": view["fl_x"] * scale,
        "fl_y": view["fl_y"] * scale,
        "cx": width / 2 + (view["cx"] - view["width"] / 2) * scale,
        "cy": view["cy"] * scale,
    }


if __name__ == "__main__":
    main()
