"""Pictures that are kept: within their bytes, the least used goes first; and what makes two the same."""

from dataclasses import replace

import analytic_scene
import pytest

from neurocity.lenses import Lens
from neurocity.pictures.options import RenderOptions
from serving.render.picture_cache import LARGEST_PART, PictureCache
from serving.render.picture_key import picture_key


def test_the_least_used_goes_first():
    cache = PictureCache(100, len)
    for key in "abcdefghij":
        cache.put(key, key * 10)
    assert cache.get("a") == "a" * 10
    cache.put("k", "k" * 10)
    assert cache.get("b") is None
    assert [cache.get(key) for key in "ack"] == [key * 10 for key in "ack"]
    assert cache.bytes() == 100


def test_what_is_put_again_counts_once():
    cache = PictureCache(100, len)
    cache.put("a", "1" * 10)
    cache.put("a", "2" * 12)
    assert (cache.get("a"), cache.bytes()) == ("2" * 12, 12)


def test_what_is_too_large_pushes_nothing_out():
    cache = PictureCache(100, len)
    cache.put("a", "a" * 10)
    cache.put("b", "b" * (100 // LARGEST_PART + 1))
    assert (cache.get("a"), cache.get("b")) == ("a" * 10, None)


def test_none_keeps_nothing():
    cache = PictureCache(0, len)
    cache.put("a", "a")
    assert cache.get("a") is None


MANIFEST = analytic_scene.manifest("onnx", b"")
CAMERA = analytic_scene.camera()


def test_the_same_is_the_same():
    again = picture_key(
        analytic_scene.manifest("onnx", b""), analytic_scene.camera(), RenderOptions(quality=None)
    )
    assert picture_key(MANIFEST, CAMERA, RenderOptions()) == again
    jpeg = [picture_key(MANIFEST, CAMERA, RenderOptions(format="jpeg", quality=q)) for q in (None, 90)]
    assert jpeg[0] == jpeg[1]


@pytest.mark.parametrize(
    ("manifest", "camera", "options"),
    [
        ({"scene": "other"}, {}, {}),
        ({"version": 2}, {}, {}),
        ({"artefact": analytic_scene.manifest("onnx", b"other").artefact}, {}, {}),
        ({}, {"width": CAMERA.width + 1}, {}),
        ({}, {"fl_y": CAMERA.fl_y + 1e-9}, {}),
        ({}, {"cx": CAMERA.cx + 1}, {}),
        ({}, {"lens": Lens("OPENCV", (0.1, 0, 0, 0, 0))}, {}),
        ({}, {"camera_to_world": analytic_scene.look_at((3, 3, 3), (0, 0, 0), (0, 0, 1))}, {}),
        ({}, {}, {"output": "depth"}),
        ({}, {}, {"format": "webp"}),
        ({}, {}, {"format": "webp", "quality": 10}),
        ({}, {}, {"background": (0.0, 0.0, 0.0)}),
        ({}, {}, {"output": "normal"}),
        ({}, {}, {"output": "normal", "axes": "camera"}),
        ({}, {}, {"output": "depth", "colormap": "gray"}),
        ({}, {}, {"output": "depth", "colormap": "gray", "near": 1.0}),
        ({}, {}, {"output": "depth", "colormap": "gray", "far": 1.0}),
    ],
)
def test_whatever_a_picture_depends_on_makes_another(manifest, camera, options):
    other = picture_key(replace(MANIFEST, **manifest), replace(CAMERA, **camera), RenderOptions(**options))
    plain = picture_key(MANIFEST, CAMERA, RenderOptions(format=options.get("format", "png")))
    assert other != plain or set(options) == {"format"}
    fewer = dict(list(options.items())[:-1])
    assert not options or other != picture_key(MANIFEST, CAMERA, RenderOptions(**fewer))
