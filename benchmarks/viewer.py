"""How fast the page at `/` shows pictures, in Chromium on the machine of the gateway: they share the cores.

python -m benchmarks.viewer http://127.0.0.1:8000/
"""

import shutil
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks.machine import facts

if TYPE_CHECKING:
    from playwright.sync_api import Browser

CHROMIUM_ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]

_RECORD_PICTURES = """
window.pictures = [];
const drawImage = CanvasRenderingContext2D.prototype.drawImage;
CanvasRenderingContext2D.prototype.drawImage = function (image, ...rest) {
  if (this.canvas.id === "view" && image instanceof ImageBitmap)
    window.pictures.push([performance.now(), image.width, this.canvas.width]);
  return drawImage.call(this, image, ...rest);
};
"""
_EVENT_MS = 16
_SWING_PIXELS = 80


@dataclass(frozen=True)
class Arguments:
    """Measure the viewer of a gateway that runs."""

    url: Annotated[str, tyro.conf.Positional]
    """Address of the page."""
    width: int = 640
    """Width of the page in pixels."""
    height: int = 360
    """Height of the page in pixels."""
    seconds: float = 5.0
    """How long the scene is dragged."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """first_ms, full_ms: from the page's start to its first picture, and to the first of full size.

    per_second: pictures a second while the scene is dragged. widths: of these pictures, in pixels.
    """

    first_ms: float
    full_ms: float
    per_second: float
    widths: list[int]


def main() -> None:
    """Print the figures of a page that is opened for the second time: the first start is the browser's."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415, tests want the rest without it

    arguments = tyro.cli(Arguments, description=__doc__)
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=CHROMIUM_ARGUMENTS
        )
        figures = [
            measure(browser, arguments.url, arguments.width, arguments.height, arguments.seconds)
            for _ in range(2)
        ][-1]
        browser.close()
    widths = sorted(figures.widths)
    print(f"{facts()}; {arguments.width}x{arguments.height}\n")
    print(f"first picture after {figures.first_ms:.0f} ms, the full one after {figures.full_ms:.0f} ms")
    print(
        f"dragged: {figures.per_second:.1f} pictures/s, {widths[0]} to {widths[-1]} pixels wide, "
        f"median {widths[len(widths) // 2]}"
    )


def measure(browser: "Browser", url: str, width: int, height: int, seconds: float) -> Figures:
    """Open the page in a window of that size, wait for the full picture, and drag the scene to and fro."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.add_init_script(_RECORD_PICTURES)
    page.goto(url)
    page.wait_for_selector("#view[aria-busy=false]")
    opened = page.evaluate("window.pictures")
    page.mouse.move(width / 2, height / 2)
    page.mouse.down()
    page.evaluate("window.pictures = []")
    began = time.monotonic()
    event = 0
    while time.monotonic() - began < seconds:
        event += 1
        swing = abs(event % 80 - 40) / 20 - 1
        page.mouse.move(width / 2 + _SWING_PIXELS * swing, height / 2 + 0.3 * _SWING_PIXELS * swing)
        page.wait_for_timeout(_EVENT_MS)
    took = time.monotonic() - began
    dragged = page.evaluate("window.pictures")
    page.mouse.up()
    context.close()
    return Figures(
        first_ms=opened[0][0],
        full_ms=next(at for at, picture, canvas in opened if picture == canvas),
        per_second=len(dragged) / took,
        widths=[picture for _, picture, _ in dragged],
    )


if __name__ == "__main__":
    main()
