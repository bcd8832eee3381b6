"""Web scenes drawn by real browsers: the model's own light, and what must not pass for it."""

import re
from dataclasses import replace

import numpy as np
import pytest
from web_scene_page import floats, open_whole, shown
from web_scenes import (
    BACKGROUND,
    EYES,
    LEAST_DB,
    SCENES,
    arguments_of,
    deviation,
    image,
    light_of,
    model_of,
    over,
    passes,
)

from benchmarks.web_scene_page import view_of
from neurocity.kernels.scene import open_scene, render_rays
from neurocity.light import over_background, psnr, to_bytes
from neurocity.pictures.depth import colour_depth, has_depth
from neurocity.svraster.native import scene_data


@pytest.mark.parametrize("name", [name for name in SCENES if name != "calm"])
def test_floats_are_the_model_s_light(every_web_page, name):
    open_whole(every_web_page, name)
    views = {"deep": ["deep"], "shells": ["outside", "inside"]}.get(name, [*EYES, "level"])
    for seen, expected in (light_of(name, which) for which in views):
        got = floats(every_web_page, seen)
        assert float(expected.rgb.std()) > 0.05, "there is something to see"
        assert passes(got, expected), deviation(got, expected)
        depth, loops, fetches, opacity = np.moveaxis(floats(every_web_page, seen, output="depth"), -1, 0)
        scale = float(expected.depth.max())
        assert psnr(depth / scale, expected.depth / scale) > 90.0
        assert psnr(opacity, expected.opacity) > LEAST_DB
        assert 0 < fetches.max() <= loops.max() + 1 < 1000


def test_the_canvas_shows_the_default_precision(every_web_page):
    open_whole(every_web_page, "calm")
    for eye in EYES:
        seen, expected = light_of("calm", eye)
        assert deviation(floats(every_web_page, seen), expected)[0] >= 60.0
        got = shown(every_web_page, seen, background=BACKGROUND)
        assert float(got.std()) > 10.0, "the canvas is not blank"
        assert np.abs(got.astype(int) - to_bytes(over(expected))).max() <= 2
        before = floats(every_web_page, seen, "readShown", background=BACKGROUND)
        assert np.abs(255 * np.clip(before[..., :3], 0.0, 1.0) - got).max() <= 0.51, (
            "bytes are these, rounded"
        )


@pytest.mark.parametrize("brightest", [1.0, 100.0])
def test_the_canvas_shows_the_floats_however_bright_colours_may_be(web_page, brightest):
    """Pictures keep a cell's colour, and floats do not: it must not be kept in shares of the brightest."""
    open_whole(web_page, "calm", change={"brightest": brightest})
    seen, _ = light_of("calm", "outside")
    light = floats(web_page, seen)
    wanted = over_background(light[..., :3], light[..., 3], BACKGROUND)
    got = shown(web_page, seen, background=BACKGROUND)
    assert np.abs(got.astype(int) - to_bytes(wanted)).max() <= 1


def test_the_gate_of_floats_refuses_what_the_eye_does_not_see(web_page):
    """Half a pixel, the direction of the ray in place of the voxel's, an early end, and nothing at all."""
    seen, expected = light_of("degree 2", "outside")
    open_whole(web_page, "degree 2")
    right = floats(web_page, seen)
    assert passes(right, expected)
    shifted = replace(seen, cx=seen.cx + 0.5)
    assert not passes(floats(web_page, shifted), expected)
    open_whole(web_page, "degree 2", change={"least_light": 1e-3})
    assert not passes(floats(web_page, seen), expected)
    web_page.evaluate(
        """async ([before, after]) => {
          const { prototype } = WebGL2RenderingContext;
          const { shaderSource } = prototype;
          prototype.shaderSource = function (shader, text) {
            window.changed ||= text.includes(before);
            shaderSource.call(this, shader, text.replace(before, after));
          };
          await open("degree 2").then(() => scene.loaded);
          window.restore = () => (prototype.shaderSource = shaderSource);
        }""",
        ["colour_of(cell, child)", "colour_of(cell, eye + direction)"],
    )
    assert not passes(floats(web_page, seen), expected)
    assert web_page.evaluate("restore() && window.changed")
    assert not passes(np.zeros_like(right), expected)


@pytest.mark.parametrize("output", ["rgb", "opacity", "depth"])
def test_outputs_on_the_canvas(web_page, output):
    open_whole(web_page, "calm")
    seen, expected = light_of("calm", "outside")
    got = shown(web_page, seen, output=output, background=BACKGROUND, near=3.0, far=7.0).astype(int)
    if output == "depth":
        seen_colours = colour_depth(expected.depth, has_depth(expected), "viridis", 3.0, 7.0)
        # The page has every 15th colour of the map.
        assert np.quantile(np.abs(got - seen_colours), 0.99) <= 6
        depths = web_page.evaluate("([view, size]) => [...scene.readDepths(view, size)]", arguments_of(seen))
        assert psnr(np.array(depths) / 10, expected.depth.flatten() / 10) > 60.0
    elif output == "opacity":
        assert np.abs(got - to_bytes(expected.opacity)[..., None]).max() <= 2
    else:
        assert np.abs(got - to_bytes(over(expected))).max() <= 2


def test_the_depth_at_a_point_is_that_of_what_is_solid(web_page):
    for name in ("calm", "shells"):
        open_whole(web_page, name)
        seen, _ = light_of(name, "outside")
        data = scene_data(model_of(name), np.float32)
        solid = {key: array for key, array in data.tensors.items() if key != "sky"}
        _, depth, opacity = image(render_rays(open_scene(replace(data, tensors=solid)), seen.rays()), seen)
        for row, column in ((18, 24), (10, 20), (0, 0), (30, 40)):
            point = [view_of(seen), column + 0.5, row + 0.5]
            found = web_page.evaluate("([view, x, y]) => scene.depthAt(view, x, y)", point)
            if abs(opacity[row, column] - 0.5) > 0.01:
                assert (found is not None) == (opacity[row, column] > 0.5)
            assert found is None or found == pytest.approx(depth[row, column], rel=2e-3)


def test_pictures_come_in_bands_and_are_scaled_to_the_canvas(web_page):
    open_whole(web_page, "calm")
    seen, _ = light_of("calm", "inside")
    whole = shown(web_page, seen)
    shown(web_page, seen, output="opacity")
    web_page.evaluate("([view, size]) => scene.draw(view, { ...size, rows: [0, 10] })", arguments_of(seen))
    assert np.array_equal(shown(web_page, seen, rows=[10, seen.height]), whole)
    assert web_page.evaluate("scene.finished()") > 0
    web_page.evaluate("() => void Object.assign(window.view, { width: 96, height: 72 })")
    large = shown(web_page, seen)
    assert large.shape == (72, 96, 3)
    assert np.abs(large.reshape(36, 2, 48, 2, 3).mean((1, 3)) - whole).mean() < 6.0


def test_a_part_of_the_levels_is_a_coarser_picture(web_page, web_site):
    """Each level is that of the numbers in the files; the groups that have come say how deep it goes."""
    open_whole(web_page, "calm")
    contents = web_site.contents["calm"]
    seen, expected = light_of("calm", "outside")
    ratios = []
    for level in range(1, contents.cells.deepest + 1):
        light = image(render_rays(open_scene(contents.scene_data(level)), seen.rays()), seen)
        got = floats(web_page, seen, deepest=level)
        assert passes(got, light), (level, deviation(got, light))
        ratios.append(deviation(got, expected)[0])
    assert ratios == sorted(ratios)
    assert np.array_equal(got, floats(web_page, seen))
    progress = web_page.evaluate("window.progress")
    assert [state["level"] for state in progress][-1] == contents.cells.deepest
    assert len({state["level"] for state in progress}) > 1, "it could be drawn before all groups had come"
    assert [state["complete"] for state in progress] == [*[False] * (len(progress) - 1), True]
    assert progress[-1]["loadedBytes"] == progress[-1]["totalBytes"]
    assert progress[-1]["totalBytes"] == sum(
        path.stat().st_size for path in (web_site.folder / "calm/groups").iterdir()
    )
    footprint = floats(web_page, seen, footprint=8.0)
    assert not np.array_equal(footprint, got)
    assert deviation(footprint, expected)[0] > 15.0


def test_a_ray_that_the_loop_cuts_off_is_reported(web_page):
    seen, _ = light_of("calm", "outside")
    open_whole(web_page, "calm", options={"mostLoops": 12})
    with pytest.raises(Exception, match=r"\d+ of 1728 rays have more pieces than the shader takes"):
        floats(web_page, seen)
    assert (shown(web_page, seen) == (255, 0, 255)).all(-1).any()


def test_shaders_say_that_they_are_precise(web_page):
    """Software computes everything with 32 bits, so no picture shows what is missing here."""
    models = [
        {"degree": degree, "samples": 1 + degree % 3, "floats": is_float, "hasSky": degree > 1}
        for degree in range(4)
        for is_float in (False, True)
    ]
    for model in models:
        walks = [
            web_page.evaluate("([model, isProof]) => walkShader(model, { isProof })", [model, way])
            for way in (False, True)
        ]
        for text in (*walks, web_page.evaluate("model => coloursShader(model)", model)):
            assert text.startswith("#version 300 es\n")
            for kind in ("float", "int", "sampler2D", "usampler2D"):
                assert f"precision highp {kind};" in text
            assert set(re.findall(r"\w*sampler\w+", text)) <= {"sampler2D", "usampler2D"}
            assert not re.search(r"mediump|lowp|\btexture\(|exp2|pow\(", text)
        for text in walks:
            assert "lessThanEqual(planes, vec3(t))" in text, (
                "a ray at a plane is beyond it, else it stands still"
            )
            assert len(re.findall(r"\bfor \(", text)) == (3 if model["hasSky"] else 2)
            assert "while" not in text
