"""The page of a folder: its HTML as it is, and its script and style of one file each."""

from export.web.page.join import joined
from neurocity.viewer.files import FOLDER, PAGE_INDEX, PAGE_SCRIPT, PAGE_STYLES


def page_files() -> dict[str, bytes]:
    """The files of the page by name. Raises ExportError as `joined`."""
    styles = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in PAGE_STYLES)
    return {
        "index.html": (FOLDER / PAGE_INDEX).read_bytes(),
        "viewer.js": joined(FOLDER, PAGE_SCRIPT).encode(),
        "viewer.css": styles.encode(),
    }
