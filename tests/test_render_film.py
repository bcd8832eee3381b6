"""`neurocity render` of camera paths and of models of a repository: from arguments to films."""

import io
import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import voxel_scene
from camera_path_files import CAMERAS, SIZE, base_cam, keyframes, nerfstudio_frames
from films import about, frames_of
from fixtures_export import export_tiny, tiny_checkpoint, tiny_info
from PIL import Image

from neurocity.cameras import Camera
from neurocity.cli import main
from neurocity.contract import MANIFEST_FILE, to_json
from neurocity.light import Bytes, psnr, to_bytes
from neurocity.model_repository import open_version


@pytest.fixture(scope="module")
def repository(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A repository with the scene of voxels in the format native."""
    return voxel_scene.write_repository(tmp_path_factory.mktemp("repository"))


@pytest.fixture
def native(repository: Path) -> Path:
    return repository / "voxels_native"


def run(*arguments: str | Path | int) -> int:
    """The command in this process; returns its exit code."""
    try:
        return main(["render", *map(str, arguments)])
    except SystemExit as end:
        return int(end.code or 0)


def written(path: Path, record: dict[str, Any]) -> Path:
    path.write_text(json.dumps(record))
    return path


def pictures(path: Path) -> list[Bytes]:
    """The pictures of an archive, in their order."""
    with zipfile.ZipFile(path) as archive:
        return [np.array(Image.open(io.BytesIO(archive.read(name)))) for name in sorted(archive.namelist())]


def expected_pictures(cameras: tuple[Camera, ...] = CAMERAS) -> list[Bytes]:
    """What the model itself shows."""
    return [to_bytes(voxel_scene.picture(camera)) for camera in cameras]


def test_a_film_of_a_repository_shows_the_model_from_the_paths_cameras(
    native: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = written(tmp_path / "path.json", nerfstudio_frames())
    for model in (native, native / "1"):
        assert run(model, "--camera-path", file, "--out", tmp_path / "film.zip") == 0
        for got, expected in zip(pictures(tmp_path / "film.zip"), expected_pictures(), strict=True):
            assert psnr(got / 255.0, expected / 255.0) > 50
    assert "film.zip: 4 frames of 64x48 at 12 frames/s, in " in capsys.readouterr().err
    assert psnr(expected_pictures()[0] / 255, expected_pictures()[1] / 255) < 25, "cameras differ"


def test_a_film_has_the_colours_of_its_pictures(native: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "path.json", keyframes(seconds=0.5))
    options = ["--camera-path", file, "--width", 320, "--fps", 12, "--quality", 85]
    assert run(native, *options[:-2], "--out", tmp_path / "film.zip") == 0
    for name in ("film.mp4", "film.webm"):
        assert run(native, *options, "--out", tmp_path / name) == 0
        assert "12 fps" in about(tmp_path / name)
        found, expected = frames_of(tmp_path / name), pictures(tmp_path / "film.zip")
        assert found.shape == (7, 240, 320, 3)
        for got, want in zip(found, expected, strict=True):
            # The scene is a heap of small cubes in strong colours, of which 4:2:0 keeps a quarter.
            assert psnr(got.mean(-1) / 255, want.mean(-1) / 255) > 30
            assert abs((got.astype(float) - want).mean((0, 1))).max() < 1.5
        assert psnr(found[0] / 255, expected[-1] / 255) < 20


def test_depth_normals_and_opacity_are_films_too(native: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "path.json", nerfstudio_frames())
    lights = [voxel_scene.light(camera.rays()).as_image(*SIZE[::-1]) for camera in CAMERAS]
    path = ["--camera-path", file, "--out", tmp_path / "film.zip"]
    assert run(native, *path, "--output", "opacity") == 0
    for got, light in zip(pictures(tmp_path / "film.zip"), lights, strict=True):
        assert np.abs(got.astype(int) - to_bytes(light.opacity)[..., None]).max() <= 1
    assert run(native, *path, "--output", "depth", "--colormap", "gray", "--near", "1", "--far", "7") == 0
    for got, light in zip(pictures(tmp_path / "film.zip"), lights, strict=True):
        solid = light.opacity > 0.9
        wanted = 255 * (1 - (light.depth[solid] - 1) / 6)
        assert np.abs(got[solid].mean(-1) - wanted).max() < 3
    assert run(native, *path, "--output", "depth") == 0
    first = pictures(tmp_path / "film.zip")
    longer = written(tmp_path / "longer.json", nerfstudio_frames(CAMERAS[:2]))
    assert run(native, "--camera-path", longer, "--out", tmp_path / "film.zip", "--output", "depth") == 0
    difference = np.abs(pictures(tmp_path / "film.zip")[0].astype(int) - first[0])
    assert difference.max() <= 12, "a frame's colours hardly depend on the film that it is in"
    assert run(native, *path, "--output", "normal") == 0
    assert len(pictures(tmp_path / "film.zip")) == 4


def test_native_and_onnx_models_show_the_same(tiny_repository: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "path.json", base_cam())
    films = []
    for kind in ("native", "onnx"):
        model, out = tiny_repository / f"tiny_{kind}", tmp_path / f"{kind}.zip"
        options = ["--seconds", "0.2", "--fps", "20", "--width", "96", "--height", "54"]
        assert run(model, "--camera-path", file, *options, "--out", out) == 0
        assert run(model, "--view", "1", "--out", tmp_path / f"{kind}.png") == 0
        films.append([*pictures(out), np.array(Image.open(tmp_path / f"{kind}.png"))])
    assert len(films[0]) == 5
    assert films[0][0].std() > 5
    for ours, theirs in zip(*films, strict=True):
        assert np.abs(ours.astype(int) - theirs).max() <= 2


def test_a_film_of_a_checkpoint_shows_what_its_picture_shows(ngp_checkpoint: Path, tmp_path: Path) -> None:
    view = tiny_info().views[1]
    frame = {"camera_to_world": np.ravel(view.camera_to_world).tolist(), "fov": 45.0}
    record = nerfstudio_frames(camera_path=[frame] * 2, render_width=view.width, render_height=view.height)
    file = written(tmp_path / "path.json", record)
    assert run(ngp_checkpoint, "--camera-path", file, "--out", tmp_path / "film.zip") == 0
    assert run(ngp_checkpoint, "--view", "1", "--out", tmp_path / "view.png") == 0
    expected = np.array(Image.open(tmp_path / "view.png"))
    assert expected.std() > 5
    for got in pictures(tmp_path / "film.zip"):
        np.testing.assert_array_equal(got, expected)


def test_instant_ngps_scale_and_offset_are_options(native: Path, tmp_path: Path) -> None:
    options = ["--seconds", "0.1", "--width", "64", "--height", "48"]
    films = []
    for scale, offset, said in (
        (0.33, 0.5, []),
        (1.5, -2.0, ["--ngp-scale", 1.5, "--ngp-offset", -2, -2, -2]),
    ):
        file = written(tmp_path / "path.json", base_cam(scale=scale, offset=offset))
        assert run(native, "--camera-path", file, *options, *said, "--out", tmp_path / "film.zip") == 0
        films.append(pictures(tmp_path / "film.zip"))
    for ours, theirs in zip(*films, strict=True):
        assert psnr(ours / 255, theirs / 255) > 40


def test_paths_are_in_world_coordinates(
    native: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    origin = (500_000.0, 5_400_000.0, 200.0)
    checkpoint = tiny_checkpoint(
        family="svraster", model=voxel_scene.voxel_model(), info=tiny_info(origin=origin)
    )
    assert not export_tiny(tmp_path, "native", checkpoint=checkpoint, name="far").error
    record = nerfstudio_frames()
    near = written(tmp_path / "near.json", record)
    for frame in record["camera_path"]:
        for axis in range(3):
            frame["camera_to_world"][4 * axis + 3] += origin[axis]
    far = written(tmp_path / "far.json", record)
    assert run(native, "--camera-path", near, "--out", tmp_path / "near.zip") == 0
    assert run(tmp_path / "far_native", "--camera-path", far, "--out", tmp_path / "far.zip") == 0
    for ours, theirs in zip(pictures(tmp_path / "near.zip"), pictures(tmp_path / "far.zip"), strict=True):
        assert psnr(ours / 255, theirs / 255) > 50
    assert run(tmp_path / "far_native", "--camera-path", near, "--out", tmp_path / "no.mp4") == 1
    assert "near.json: frame 0: the camera stands" in capsys.readouterr().err
    assert not (tmp_path / "no.mp4").exists()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--out", "f.mp4"], 2, "needs one of --camera FILE, --view N and --camera-path FILE"),
        (["--out", "f.mp4", "--camera-path", "path.json", "--view", "0"], 2, "needs one of"),
        (["--out", "f.avi", "--camera-path", "path.json"], 2, "f.avi, expected a name that ends in .mp4"),
        (["--out", "f.mp4", "--camera-path", "absent.json"], 1, "absent.json: cannot be read"),
        (["--out", "f.mp4", "--camera-path", "crop.json"], 1, "crop.json: crop: is not supported"),
        (["--out", "f.mp4", "--camera-path", "path.json", "--fps", "0"], 2, "got 0.0 frames per second"),
        (["--out", "f.mp4", "--camera-path", "path.json", "--width", "-1"], 2, "got -1x1 pixels"),
        (
            ["--out", "f.mp4", "--camera-path", "path.json", "--depth", "d.npy"],
            2,
            "depth: is for one picture",
        ),
        (["--out", "f.mp4", "--camera-path", "path.json", "--colormap", "turbo"], 2, "a colormap is for"),
        (["--out", "f.mp4", "--camera-path", "path.json", "--device", "cuda"], 5, "use --device cpu"),
        (["--out", "f.png", "--view", "0", "--fps", "30"], 2, "fps: is for --camera-path"),
        (["--out", "f.mp4", "--view", "0"], 2, "f.mp4, expected a file that ends in"),
        (["--out", "f.png", "--view", "7"], 2, "view: got 7, the scene has held-out views 0 to 2"),
    ],
)
def test_what_cannot_be_is_refused_and_leaves_nothing(
    arguments: list[str],
    code: int,
    message: str,
    native: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    written(tmp_path / "path.json", nerfstudio_frames())
    written(tmp_path / "crop.json", nerfstudio_frames(crop={}))
    assert run(native, *arguments) == code
    assert message in capsys.readouterr().err
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crop.json", "path.json"]


def test_models_that_are_rendered_elsewhere_are_refused_with_the_way_out(
    repository: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--view", "0", "--out", tmp_path / "i.png"]
    whole = open_version(repository / "voxels_native" / "1")
    for name in ("torchscript", "native"):
        folder = tmp_path / f"voxels_{name}" / "1"
        folder.mkdir(parents=True)
        (folder / MANIFEST_FILE).write_text(to_json(replace(whole.manifest, format=name)))
        content = bytearray(whole.artefact.read_bytes())
        content[-1] ^= 1
        (folder / whole.artefact.name).write_bytes(content)
    assert run(tmp_path / "voxels_torchscript", *out) == 4
    assert "in the format torchscript, rendered here are native and onnx" in capsys.readouterr().err
    assert run(tmp_path / "voxels_native", *out) == 1
    assert "model.safetensors: has SHA-256" in capsys.readouterr().err
    assert run(repository, *out) == 1
    assert "expected <repository>/<model> or <repository>/<model>/<version>" in capsys.readouterr().err
    assert not (tmp_path / "i.png").exists()


def test_a_picture_that_cannot_be_written_is_told(
    native: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "i.png").mkdir()
    assert run(native, "--view", "0", "--out", tmp_path / "i.png") == 2
    assert f"out: {tmp_path / 'i.png'} cannot be written (" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["i.png"]


def test_native_models_are_rendered_without_torch(native: Path, tmp_path: Path) -> None:
    file = written(tmp_path / "path.json", nerfstudio_frames())
    script = (
        "import sys\nfrom neurocity.cli import main\ncode = main(sys.argv[1:])\n"
        "print(sorted({'torch', 'onnxruntime', 'fastapi'} & set(sys.modules)))\nsys.exit(code)"
    )
    arguments = ["render", str(native), "--camera-path", str(file), "--out", str(tmp_path / "film.mp4")]
    result = subprocess.run(
        [sys.executable, "-c", script, *arguments], capture_output=True, text=True, check=False
    )
    assert (result.returncode, result.stdout) == (0, "[]\n"), result.stderr
    assert len(frames_of(tmp_path / "film.mp4")) == 4
