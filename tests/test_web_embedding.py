"""docs/embedding.html holds a scene in a frame and talks to it: the messages of docs/embedding.md."""

import re
import shutil
from itertools import groupby
from pathlib import Path

import numpy as np
import pytest
from web_pages import DRAWING, LOSE, SCENE, scene_page, write_repository

from neurocity.viewer.files import FOLDER

DOCS = Path(__file__).parents[1] / "docs"
ASK = """message => new Promise((resolve) => {
  const frame = document.querySelector("iframe").contentWindow;
  const id = Math.random();
  window.addEventListener("message", function hear({ source, data }) {
    if (source !== frame || data?.id !== id) return;
    window.removeEventListener("message", hear);
    resolve(data);
  });
  frame.postMessage({ neurocity: 1, ...message, id }, "*");
})"""

PICTURE = """(async (ask) => {
  const { picture } = await ask({ type: "getPicture" });
  return [...new Uint8Array(await picture.arrayBuffer())].join();
})"""


@pytest.fixture(scope="module")
def page(chromium, made_once, tmp_path_factory):
    """The page of the docs with a small scene as its city."""
    folder = tmp_path_factory.mktemp("docs")
    shutil.copytree(made_once("web_repository", write_repository) / f"{SCENE}_web" / "1", folder / "city")
    shutil.copy(DOCS / "embedding.html", folder / "index.html")
    with scene_page(chromium(*DRAWING), f"{folder.as_uri()}/index.html") as page:
        page.wait_for_selector("#camera:not(:has-text('…'))")
        page.wait_for_selector("#state:empty", state="attached")
        page.wait_for_function("bounds !== null")
        yield page


def ask(page, **message):
    """The answer to a message."""
    return page.evaluate(ASK, message)


def test_the_page_of_the_docs_moves_the_scene(page):
    before = page.inner_text("#camera")
    page.click("#street")
    page.wait_for_selector(f"#camera:not(:has-text('{before}'))")
    place = [float(value) for value in page.inner_text("#camera").split(", ")]
    answer = ask(page, type="getCamera")
    np.testing.assert_allclose(answer["eye"], place, atol=0.051)
    assert (answer["type"], answer["fov"]) == ("camera", pytest.approx(70))
    page.click("#depth")
    assert ask(page, type="getCamera")["output"] == "depth"
    scene = page.frames[1]
    assert scene.eval_on_selector("#output input:checked", "chosen => chosen.value") == "depth"
    assert not scene.eval_on_selector("#legend", "legend => legend.hidden")
    page.click("#depth")
    assert ask(page, type="getCamera")["output"] == "rgb"
    assert scene.eval_on_selector("#output input:checked", "chosen => chosen.value") == "rgb"
    assert not page.frame_locator("iframe").locator("footer").is_visible(), "?bare is the picture alone"


def test_cameras_go_in_and_come_out(page):
    wanted = {"eye": [2.5, -1.0, 1.5], "target": [0.1, 0.2, 0.3], "fov": 40}
    answer = ask(page, type="setCamera", **wanted)
    for name, value in wanted.items():
        np.testing.assert_allclose(answer[name], value, atol=1e-9)
    moved = ask(page, type="setCamera", eye=[3.0, 0.0, 1.0])
    np.testing.assert_allclose(moved["target"], wanted["target"], atol=1e-9)
    start = ask(page, type="home")
    assert not np.allclose(start["eye"], moved["eye"])
    assert ask(page, type="connect")["camera"]["eye"] == start["eye"]
    picture = page.evaluate(f"async () => (await ({ASK})({{ type: 'getPicture' }})).picture.size")
    assert picture > 1000


def test_pictures_wait_while_the_graphics_processor_is_away(page):
    before = page.evaluate(f"async () => {PICTURE}({ASK})")
    page.evaluate("""() => {
      window.told = [];
      window.addEventListener("message", ({ data }) => window.told.push(data.type));
    }""")
    page.frames[1].evaluate(LOSE)
    page.wait_for_function("told.includes('lost')")
    page.evaluate(
        f"""() => {{
          window.orders = Promise.all([0, 1].map(() => {PICTURE}({ASK})));
          window.orders.then(() => window.told.push("pictures"));
        }}"""
    )
    ask(page, type="setOutput", output="rgb")  # which is a picture to draw
    # As long as a still picture waits, and more.
    page.evaluate("() => new Promise(done => setTimeout(() => requestAnimationFrame(done), 500))")
    page.frames[1].evaluate("() => window.away.restoreContext()")
    page.wait_for_function("told.includes('pictures')")
    first, second = page.evaluate("orders")
    assert first == second
    told = [kind for kind in page.evaluate("told") if kind in {"lost", "settled", "restored", "pictures"}]
    # A part of the scene settles, where the others are late.
    assert [kind for kind, _ in groupby(told)][:4] == ["lost", "restored", "settled", "pictures"]
    page.wait_for_selector("#state:empty", state="attached")
    assert page.evaluate(f"async () => {PICTURE}({ASK})") == before


@pytest.mark.parametrize(
    ("message", "reason"),
    [
        ({"type": "setCamera", "eye": [1, 2]}, "eye: got [1,2], expected three numbers"),
        ({"type": "setCamera", "eye": [1, 2, "x"]}, "expected three numbers"),
        ({"type": "setCamera", "fov": 180}, "expected 0 to 150 degrees"),
        ({"type": "setCamera", "eye": [1, 1, 1], "target": [1, 1, 1]}, "the same"),
        ({"type": "setOutput", "output": "normal"}, "expected rgb, depth, opacity"),
        ({"type": "dance"}, "known: connect, setCamera"),
    ],
)
def test_what_cannot_be_done_is_said(page, message, reason):
    before = ask(page, type="getCamera")
    answer = ask(page, **message)
    assert answer["type"] == "error"
    assert reason in answer["message"]
    assert ask(page, type="getCamera")["eye"] == before["eye"]


def test_other_pages_than_the_holder_are_not_heard(page):
    before = ask(page, type="getCamera")["eye"]
    page.evaluate(
        """() => new Promise((resolve) => {
          const stranger = document.createElement("iframe");
          stranger.srcdoc = `<script>
            parent.frames[0].postMessage({ neurocity: 1, type: "setCamera", eye: [9, 9, 9] }, "*");
            parent.postMessage("said", "*");
          </script>`;
          window.addEventListener("message", ({ data }) => data === "said" && resolve());
          document.body.append(stranger);
        })"""
    )
    assert ask(page, type="getCamera")["eye"] == before


def test_the_document_names_what_there_is():
    script = (FOLDER / "embed" / "embedding.js").read_text()
    document = (DOCS / "embedding.md").read_text()
    for name in re.search(r'KNOWN_TYPES = "(.+)"', script)[1].split(", "):
        assert f"| `{name}` |" in document
    pages = script + (FOLDER / "page" / "page.js").read_text()
    for name in set(re.findall(r'\.tell\("(\w+)"', pages)):
        assert f"`{name}`" in document, name
