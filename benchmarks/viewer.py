"""How fast the page at `/` shows pictures, in Chromium on the machine of the gateway: they share the cores.

    python -m benchmarks.viewer REPOSITORY --scene NAME

The page is opened in turns on a gateway with live views and on one without, where it asks for pictures.
"""

import shutil
import statistics
import time
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from benchmarks.gateway import served
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
addEventListener("DOMContentLoaded", () => {
  // The page says of each picture, when it is drawn, how large it is; and when the full one is there.
  const status = document.getElementById("status"), view = document.getElementById("view");
  new MutationObserver(() => window.pictures.push([performance.now(), parseInt(status.textContent)]))
    .observe(status, { childList: true });
  new MutationObserver(() => { if (view.ariaBusy === "false") window.full ??= performance.now(); })
    .observe(view, { attributeFilter: ["aria-busy"] });
});
"""
_EVENT_MS = 16
_PATIENCE_MS = 120_000
_SWING_PIXELS = 80


WAYS = {"WebSocket": (), "GET": ("--live-views", "0")}
"""How the pictures come -> options of the gateway, which keeps no pictures: each round would find its own."""


@dataclass(frozen=True)
class Arguments:
    """Measure the viewer of `neurocity-serve` on a model repository."""

    repository: Annotated[Path, tyro.conf.Positional]
    """Model repository of `neurocity-export`."""
    scene: str
    """Scene to look at."""
    engine: str = "auto"
    """Engine of the gateways."""
    width: int = 640
    """Width of the page in pixels."""
    height: int = 360
    """Height of the page in pixels."""
    seconds: float = 5.0
    """How long the scene is dragged."""
    rounds: int = 3
    """How often each way is measured; the medians are printed."""
    port: int = 8790
    """Port of the first gateway; the second one has the next."""


@dataclass(frozen=True, kw_only=True)
class Figures:
    """first_ms, full_ms: from the page's start to its first picture, and to the full one.

    per_second: pictures a second while the scene is dragged. widths: of these pictures, in pixels.
    """

    first_ms: float
    full_ms: float
    per_second: float
    widths: list[int]


def main() -> None:
    """Print the figures of both ways."""
    from playwright.sync_api import sync_playwright  # noqa: PLC0415, tests want the rest without it

    arguments = tyro.cli(Arguments, description=__doc__)
    with ExitStack() as running, sync_playwright() as driver:
        addresses = {}
        for port, (way, options) in enumerate(WAYS.items(), arguments.port):
            always = ("--engine", arguments.engine, "--cache-bytes", "0")
            running.enter_context(served(arguments.repository, arguments.scene, port, *always, *options))
            addresses[way] = f"http://127.0.0.1:{port}/#scene={arguments.scene}"
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium") or shutil.which("google-chrome"), args=CHROMIUM_ARGUMENTS
        )
        size = arguments.width, arguments.height
        measured: dict[str, list[Figures]] = {way: [] for way in WAYS}
        for turn in range(arguments.rounds + 1):
            for way, address in addresses.items():
                figures = measure(browser, address, *size, arguments.seconds if turn else 1.0)
                if turn:  # the first start is the browser's, and the first pictures the engine's
                    measured[way].append(figures)
        browser.close()
    print(f"{facts()}; {arguments.width}x{arguments.height}, {arguments.rounds} rounds\n")
    print("| way | first picture, ms | full picture, ms | dragged: pictures/s | their width, pixels |")
    print("|---|---|---|---|---|")
    for way, rounds in measured.items():
        first, full, rate = (
            statistics.median(getattr(item, name) for item in rounds)
            for name in ("first_ms", "full_ms", "per_second")
        )
        widths = sorted(width for item in rounds for width in item.widths)
        middle = f"{widths[len(widths) // 2]} ({widths[0]} to {widths[-1]})"
        print(f"| {way} | {first:.0f} | {full:.0f} | {rate:.1f} | {middle} |")


def measure(browser: "Browser", url: str, width: int, height: int, seconds: float) -> Figures:
    """Open the page in a window of that size, wait for the full picture, and drag the scene to and fro."""
    context = browser.new_context(viewport={"width": width, "height": height})
    page = context.new_page()
    page.set_default_timeout(_PATIENCE_MS)
    page.add_init_script(_RECORD_PICTURES)
    page.goto(url)
    page.wait_for_selector("#view[aria-busy=false]")
    opened, full = page.evaluate("[window.pictures, window.full]")
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
        full_ms=full,
        per_second=len(dragged) / took,
        widths=[width for _, width in dragged],
    )


if __name__ == "__main__":
    main()
