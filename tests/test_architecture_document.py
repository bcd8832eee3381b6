"""docs/architecture.md: its picture is that of the imports as they are, and what it names exists."""

import importlib.util
import re
from pathlib import Path
from types import ModuleType

import pytest

REPOSITORY = Path(__file__).parents[1]
DOCS = REPOSITORY / "docs"
DOCUMENT = (DOCS / "architecture.md").read_text()


@pytest.fixture(scope="module")
def drawer() -> ModuleType:
    spec = importlib.util.spec_from_file_location("draw_architecture", DOCS / "draw_architecture.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_picture_is_of_the_imports_as_they_are(drawer, monkeypatch, tmp_path):
    monkeypatch.setattr(drawer, "PICTURE", tmp_path / "drawn.svg")
    drawer.main()
    drawn, committed = (path.read_text() for path in (drawer.PICTURE, DOCS / "architecture.svg"))
    assert drawn == committed, "python docs/draw_architecture.py draws it anew"


def test_imports_in_a_circle_are_told(drawer):
    edges = {("a.x", "a.y"), ("a.y", "a.z"), ("a.z", "a.x"), ("a.w", "a.x"), ("a.x", "a.v")}
    with pytest.raises(ValueError, match=r"in a circle among \['a.w', 'a.x', 'a.y', 'a.z'\]"):
        drawer.levels(edges)


def test_an_arrow_that_follows_from_others_is_left_out(drawer):
    edges = {("a.x", "a.y"), ("a.y", "a.z"), ("a.x", "a.z"), ("a.x", "a.w")}
    assert drawer.reduced(edges) == edges - {("a.x", "a.z")}
    assert drawer.levels(edges) == {"a.z": 0, "a.w": 0, "a.y": 1, "a.x": 2}


def test_what_the_document_names_exists():
    for name in re.findall(r"`([a-z_]+(?:/[a-z_]+)*(?:\.py|/))`", DOCUMENT):
        below = [REPOSITORY, REPOSITORY / "neurocity", REPOSITORY / "export"]
        assert any((folder / name).exists() for folder in below), name
    for link in re.findall(r"\]\(([^)#]+)\)", DOCUMENT):
        assert (DOCS / link).exists(), link
