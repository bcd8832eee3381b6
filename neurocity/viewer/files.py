"""Where the files of this package are that a page is made of. Standard library only."""

from pathlib import Path

FOLDER = Path(__file__).parent
SUFFIXES = frozenset({".css", ".js", ".svg"})
"""Of what pages load."""
PAGE = "page"
"""The room of the page of an exported web folder; the gateway's page has nothing of it."""
PAGE_INDEX = f"{PAGE}/index.html"
PAGE_SCRIPT = f"{PAGE}/page.js"
"""The module that imports all others of the page."""
PAGE_STYLES = ("look/look.css", f"{PAGE}/page.css")
"""In the order in which they count."""


def shared_names() -> list[str]:
    """What every page may load: paths below `FOLDER`, with `/`."""
    paths = (path.relative_to(FOLDER) for path in FOLDER.rglob("*") if path.suffix in SUFFIXES)
    return sorted(path.as_posix() for path in paths if path.parts[0] != PAGE)
