"""Real Chromium for a file of tests: how it is started is said here, and that it may be missing."""

import shutil
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import pytest
from waiting import PATIENCE

from benchmarks.viewer import CHROMIUM_ARGUMENTS

if TYPE_CHECKING:
    from playwright.sync_api import Browser


@pytest.fixture(scope="module")
def chromium() -> "Iterator[Callable[..., Browser]]":
    """`chromium(*arguments)`: a browser that was started with these; the same for the same arguments.

    Not for the whole run: while it is open, playwright has an event loop running in this thread, and tests of
    other files want their own.
    """
    executable = shutil.which("chromium") or shutil.which("google-chrome")
    if executable is None:
        pytest.skip("the viewer's tests need a browser: apt-get install chromium")
    playwright = pytest.importorskip(
        "playwright.sync_api", reason="the viewer's tests need the package playwright"
    )
    started: dict[tuple[str, ...], Browser] = {}

    with playwright.sync_playwright() as driver:

        def start(*arguments: str) -> "Browser":
            if arguments not in started:
                started[arguments] = driver.chromium.launch(
                    executable_path=executable, args=arguments, timeout=1000 * PATIENCE
                )
            return started[arguments]

        yield start
        for browser in started.values():
            browser.close()


@pytest.fixture(scope="module")
def browser(chromium: "Callable[..., Browser]") -> "Browser":
    """A browser without a GPU."""
    return chromium(*CHROMIUM_ARGUMENTS)
