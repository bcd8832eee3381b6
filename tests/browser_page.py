"""A page in a browser as a test sees it: what it says and asks for, and the pixels of its canvas."""

import base64
import io
import re
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
from PIL import Image
from waiting import PATIENCE

REPOSITORY = Path(__file__).parents[1]
DRIVERS_ADVICE = "GL Driver Message (OpenGL, Performance"
"""Of drivers, about pixels that are read back: that this takes time is no fault of a page that is tested."""


TIMES = {
    "notice": ("neurocity/viewer/look/notice.js", "NOTICE_MS"),
    "handshake": ("serving/viewer/frames/socket.js", "OPEN_MS"),
}
"""What pages end after a time, and where the time is said. A busy machine comes too late for both."""


def milliseconds(name: str) -> int:
    """One of `TIMES`."""
    file, constant = TIMES[name]
    return int(re.search(rf"const {constant} = (\d+);", (REPOSITORY / file).read_text())[1])


def patient_page(context, ends=()):
    """A new page, which has gone nowhere yet and waits as long as tests do.

    Its notices stay, and a socket has its time to open; ends: which of `TIMES` count nevertheless.
    """
    page = context.new_page()
    page.set_default_timeout(1000 * PATIENCE)
    longer = {milliseconds(name): 10**8 for name in TIMES if name not in ends}
    page.add_init_script(
        f"""{{
          const {{ setTimeout }} = window;
          const longer = {longer};
          window.setTimeout = (action, ms, ...rest) => setTimeout(action, longer[ms] ?? ms, ...rest);
        }}"""
    )
    return page


@contextmanager
def quiet_page(browser, url, width: int, height: int, prepare=None, **context_options):
    """The page at `url`, which need not be drawn yet, in a window of width x height.

    prepare(page) is called before it goes there. At the end every complaint of it is an error, and every
    request to another server than its own; a page of a file has none.
    """
    with browser.new_context(viewport={"width": width, "height": height}, **context_options) as context:
        page = patient_page(context)
        complaints, hosts = [], set()
        page.on(
            "console",
            lambda message: (
                DRIVERS_ADVICE in message.text or complaints.append(f"{message.type}: {message.text}")
            ),
        )
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on("request", lambda request: hosts.add(urlsplit(request.url).netloc))
        if prepare is not None:
            prepare(page)
        page.goto(str(url))
        yield page
        assert complaints == []
        assert hosts <= {"", urlsplit(str(url)).netloc}


def canvas_pixels(page, selector: str = "#view") -> np.ndarray:
    """The canvas [H, W, 3] in [0, 1]."""
    url = page.eval_on_selector(selector, "canvas => canvas.toDataURL()")
    png = base64.b64decode(url.removeprefix("data:image/png;base64,"))
    return np.array(Image.open(io.BytesIO(png)).convert("RGB")) / 255
