"""Web scenes on their way into a browser: workers, lost contexts, files that are not as they should be."""

import base64
import re
import shutil

import numpy as np
import pytest
from browser_page import patient_page
from web_scene_page import floats, open_whole, scene_page, shown
from web_scenes import arguments_of, light_of

from benchmarks.web_scene_page import RENDERERS


def test_what_a_worker_decodes_a_page_decodes_too(web_page):
    """Pages may be forbidden to have workers."""
    seen, _ = light_of("calm", "outside")
    open_whole(web_page, "calm")
    by_worker = floats(web_page, seen)
    web_page.evaluate("""async () => {
      const { Worker } = window;
      window.Worker = class { constructor() { throw new Error("forbidden"); } };
      await open("calm").then(() => scene.loaded).finally(() => Object.assign(window, { Worker }));
    }""")
    assert np.array_equal(floats(web_page, seen), by_worker)


def test_a_lost_context_is_built_again(web_page):
    seen, _ = light_of("calm", "outside")
    open_whole(web_page, "calm")
    before = shown(web_page, seen)
    lost = web_page.evaluate("""async () => {
      const said = [];
      const extension = view.getContext("webgl2").getExtension("WEBGL_lose_context");
      const lost = new Promise((resolve) => (scene.onLost = () => resolve(said.push("lost"))));
      const restored = new Promise((resolve) => (scene.onRestored = () => resolve(said.push("restored"))));
      extension.loseContext();
      await lost;
      said.push(scene.level);
      await new Promise((resolve) => setTimeout(resolve)); // it is given back after the event
      extension.restoreContext();
      await restored;
      await scene.loaded;
      return said;
    }""")
    assert lost == ["lost", -1, "restored"]
    assert np.array_equal(shown(web_page, seen), before)


@pytest.fixture
def damaged(web_site):
    """Changes a file of a copy of the scene `calm`."""

    def damage(name, change):
        folder = web_site.folder / "damaged"
        shutil.copytree(web_site.folder / "calm", folder, dirs_exist_ok=True)
        change(folder / name)

    yield damage
    shutil.rmtree(web_site.folder / "damaged")


def flip_a_byte(path):
    head, text, tail = re.fullmatch(r'(.*")(.*)(".*\n)', path.read_text()).groups()
    packed = bytearray(base64.b64decode(text))
    packed[len(packed) // 2] ^= 64
    path.write_text(head + base64.b64encode(packed).decode() + tail)


def without_a_point(path):
    text = path.read_text()
    path.write_text(text.replace('"voxel_points":', '"voxel_points":1'))


def of_another_layout(path):
    path.write_text(path.read_text().replace('"layout":1', '"layout":7'))


def with_many_cells(path):
    path.write_text(path.read_text().replace('"cells":', '"cells":99999'))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("groups/01.js", flip_a_byte, "groups/01.js "),
        ("groups/01.js", lambda path: path.write_text('neurocityGroup(1, "");'), "expected group 1 of"),
        ("groups/01.js", lambda path: path.write_text("neurocityGroup("), "cannot be loaded"),
        ("scene.js", without_a_point, "groups/00.js"),
        ("scene.js", of_another_layout, "layout: got 7, this page reads 1"),
        ("scene.js", with_many_cells, "this graphics processor holds"),
    ],
)
def test_what_is_wrong_with_files_is_said(chromium, web_site, damaged, name, change, message):
    damaged(name, change)
    with chromium(*RENDERERS["SwiftShader"]).new_context() as context:
        web_page = patient_page(context)
        web_page.goto(web_site.address)
        web_page.wait_for_function("window.isReady")
        with pytest.raises(Exception, match=re.escape(message)):
            open_whole(web_page, "damaged")


def test_a_missing_group_is_said_and_what_has_come_is_drawn(chromium, web_site, damaged):
    damaged("groups/02.js", lambda path: path.unlink())
    with chromium(*RENDERERS["SwiftShader"]).new_context() as context:
        web_page = patient_page(context)
        web_page.goto(web_site.address)
        web_page.wait_for_function("window.isReady")
        with pytest.raises(Exception, match=r"groups/02.js\?sha256=\w+ cannot be loaded"):
            open_whole(web_page, "damaged")
        seen, _ = light_of("calm", "outside")
        level = web_page.evaluate("scene.level")
        assert 1 <= level < web_site.contents["calm"].cells.deepest
        web_page.evaluate("window.keep = scene")
        assert float(shown(web_page, seen).std()) > 10.0


@pytest.mark.parametrize(("times", "outcome"), [(1, "whole"), (9, "lost on the way")])
def test_a_group_that_is_lost_is_asked_for_once_more(web_page, times, outcome):
    """It is lost before it is needed, or later: that makes no difference."""
    asked, said = web_page.evaluate(
        """async (times) => {
          window.scene?.close();
          const header = await loadHeader("calm/");
          const honest = groupSource(header, "calm/");
          const asked = header.groups.map(() => 0);
          window.scene = await openScene(view, header, async (number) => {
            if (++asked[number] <= times && number === 1) throw new Error("lost on the way");
            return honest(number);
          });
          const said = await scene.loaded.then(() => "whole", (error) => error.message);
          return [asked, said];
        }""",
        times,
    )
    assert said == outcome
    assert asked[:2] == [1, 2]
    assert asked[2:] == ([1] * len(asked[2:]) if said == "whole" else [0] * len(asked[2:]))


def test_nothing_is_drawn_or_loaded_after_close(web_page):
    open_whole(web_page, "calm")
    web_page.evaluate("scene.close()")
    seen, _ = light_of("calm", "outside")
    web_page.evaluate("([view, size]) => scene.draw(view, size)", arguments_of(seen))
    assert web_page.evaluate("scene.graphicsBytes") == 0
    with pytest.raises(Exception, match="cannot be drawn now"):
        floats(web_page, seen)


def test_opening_can_be_given_up(web_page):
    with pytest.raises(Exception, match="AbortError"):
        web_page.evaluate("""async () => {
          const header = await loadHeader("calm/");
          const signal = AbortSignal.abort();
          window.scene = await openScene(view, header, groupSource(header, "calm/"), { signal });
        }""")


def test_a_context_that_is_lost_meanwhile_ends_the_opening(web_page):
    with pytest.raises(Exception, match="AbortError"):
        web_page.evaluate("""async () => {
          window.scene?.close();
          const header = await loadHeader("calm/");
          const canvas = document.createElement("canvas");
          const opening = openScene(canvas, header, groupSource(header, "calm/"));
          canvas.getContext("webgl2").getExtension("WEBGL_lose_context").loseContext();
          await opening;
        }""")
    open_whole(web_page, "calm")


def test_a_browser_is_asked_what_it_has(web_page, chromium, web_site):
    assert web_page.evaluate("WebScene.supported()") is None
    as_firefox = """() => {
      const { prototype } = WebGL2RenderingContext;
      const { getShaderPrecisionFormat } = prototype;
      prototype.getShaderPrecisionFormat = function (shader, kind) {
        const said = getShaderPrecisionFormat.call(this, shader, kind);
        return kind === this.HIGH_INT ? { rangeMin: 24, rangeMax: 24, precision: 0 } : said;
      };
      try {
        return WebScene.supported();
      } finally {
        Object.assign(prototype, { getShaderPrecisionFormat });
      }
    }"""
    assert web_page.evaluate(as_firefox) is None
    with scene_page(chromium(*RENDERERS["SwiftShader"], "--disable-webgl2"), web_site.address) as without:
        assert "does not offer WebGL2" in without.evaluate("WebScene.supported()")
