"""Takes the pictures of docs/embedding.md and docs/web.md that show web folders in a browser:

python docs/take_web_pictures.py city demo/docs/city
python docs/take_web_pictures.py lego model_repository/lego_web/1

The first folder is what `make docs-demo` builds of the demo city.
"""

import shutil
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).parent
SIZE = {"width": 960, "height": 540}
ARGUMENTS = ("--headless=new", "--no-sandbox", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Of a browser that draws the same on every machine."""
PICTURES = {
    "city": {
        "web_above.jpg": "eye=95,-105,95&target=0,0,8&fov=45",
        "web_street.jpg": "eye=-30,-45,7&target=30,10,9&fov=65",
    },
    "lego": {"web_lego.jpg": ""},
}
"""Scene -> file -> view, as in the page's address; the first held-out one where it is empty."""
PATIENCE_MS = 600_000


def take(pictures: dict[str, str], folder: Path) -> None:
    """Open the page of a folder at each view, and keep what the window shows."""
    browser_path = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=browser_path, args=ARGUMENTS)
        for name, view in pictures.items():
            page = browser.new_page(viewport=SIZE)
            page.goto(f"{(folder / 'index.html').resolve().as_uri()}?bare#{view}")
            page.wait_for_selector("#view.drawn[aria-busy=false]", timeout=PATIENCE_MS)
            page.screenshot(path=DOCS / name, type="jpeg", quality=85)
            print(f"wrote {DOCS / name}")
            page.close()
        browser.close()


if __name__ == "__main__":
    if len(sys.argv) != 3 or sys.argv[1] not in PICTURES:
        sys.exit(f"got {sys.argv[1:]}, expected a scene ({', '.join(PICTURES)}) and its web folder")
    take(PICTURES[sys.argv[1]], Path(sys.argv[2]))
