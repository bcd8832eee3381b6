"""Films: what is in them, decoded again; and that nothing is left of those that fail."""

import io
import os
import signal
import subprocess
import sys
import time
import zipfile

import numpy as np
import pytest
from films import about, frames_of
from PIL import Image
from waiting import PATIENCE

from neurocity.errors import ConfigError, MissingDependencyError, VideoError
from neurocity.light import psnr
from neurocity.video.film import open_film

SPOTS = ((0.35, 0.3, np.array([0.1, 0.8, 0.2])), (0.65, 0.7, np.array([0.9, 0.1, 0.1])))
"""Row and column as parts of a picture's height and width, and colour."""


def picture(number: int, width: int, height: int) -> np.ndarray:
    """A smooth picture that moves, with spots of strong colours, which a wrong matrix would shift."""
    y, x = np.mgrid[0:height, 0:width]
    channels = 0.5 + 0.5 * np.sin(x / 25 + number / 5), y / height, 0.5 + 0.5 * np.cos((x + y) / 40)
    seen = np.stack(channels, -1)
    for row, column, colour in SPOTS:
        distance = np.hypot(y - row * height, x - column * width) / (0.25 * height)
        spot = np.exp(-(distance**4))[..., None]
        seen = spot * colour + (1 - spot) * seen
    return (255 * seen + 0.5).astype(np.uint8)


def write(path, width=128, height=96, count=8, rate=25.0, quality=None):
    with open_film(path, width, height, rate, quality) as film:
        for number in range(count):
            film.write(picture(number, width, height))
    return path


@pytest.mark.parametrize(("name", "codec"), [("film.mp4", "h264"), ("film.webm", "vp9")])
@pytest.mark.parametrize("rate", [25.0, 30000 / 1001])
def test_a_film_shows_the_pictures_in_their_colours(name, codec, rate, tmp_path):
    path = write(tmp_path / name, quality=80, rate=rate)
    assert list(tmp_path.iterdir()) == [path]
    said = about(path)
    assert codec in said
    assert "yuv420p(tv, bt709" in said
    assert f"{rate:.4g} fps" in said
    found = frames_of(path)
    assert len(found) == 8
    for number in (0, 7):
        expected = picture(number, 128, 96)
        assert psnr(found[number] / 255, expected / 255) > 35
        assert psnr(found[number] / 255, picture(number + 3, 128, 96) / 255) < 30, "another picture"
        shift = (found[number].astype(float) - expected).mean((0, 1))
        assert abs(shift).max() < 1.0
        for row, column, colour in SPOTS:
            spot = found[number][int(row * 96) - 4 :, int(column * 128) - 4 :][:8, :8]
            assert spot.mean((0, 1)) == pytest.approx(255 * colour, abs=3.0)


def test_an_mp4_begins_with_its_index(tmp_path):
    content = write(tmp_path / "film.mp4").read_bytes()
    assert 0 < content.index(b"moov") < content.index(b"mdat")


@pytest.mark.parametrize("name", ["film.mp4", "film.webm"])
def test_odd_sizes_repeat_the_last_row_and_column(name, tmp_path):
    found = frames_of(write(tmp_path / name, 95, 65, count=3))
    assert found.shape == (3, 66, 96, 3)
    expected = np.pad(picture(2, 95, 65), ((0, 1), (0, 1), (0, 0)), mode="edge")
    assert psnr(found[2] / 255, expected / 255) > 30


def test_quality_decides_the_bytes(tmp_path):
    sizes = [write(tmp_path / "film.mp4", quality=quality).stat().st_size for quality in (1, 65, 100)]
    assert sizes[0] < 0.7 * sizes[1] < 0.5 * sizes[2]
    assert "High 4:4:4" not in about(tmp_path / "film.mp4")


def test_pictures_lose_nothing(tmp_path):
    write(tmp_path / "film.zip", 33, 17)
    write(tmp_path / "film", 33, 17)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["film", "film.zip"]
    names = [f"{number:05d}.png" for number in range(8)]
    assert sorted(path.name for path in (tmp_path / "film").iterdir()) == names
    with zipfile.ZipFile(tmp_path / "film.zip") as archive:
        assert archive.namelist() == names
        for number, name in enumerate(names):
            content = archive.read(name)
            assert content == (tmp_path / "film" / name).read_bytes()
            np.testing.assert_array_equal(np.array(Image.open(io.BytesIO(content))), picture(number, 33, 17))
    assert write(tmp_path / "again.zip", 33, 17).read_bytes() == (tmp_path / "film.zip").read_bytes()


@pytest.mark.parametrize("name", ["film.mp4", "film.webm", "film.zip", "film"])
def test_nothing_is_left_of_a_film_that_fails_and_what_was_there_stays(name, tmp_path):
    path = tmp_path / name
    if path.suffix:
        path.write_text("the film of before")

    def fail():
        with open_film(path, 16, 16, 30) as film:
            film.write(np.zeros((16, 16, 3), np.uint8))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(VideoError, match="has no frame"), open_film(path, 16, 16, 30):
        pass
    wrong = r"frame 0: got uint8 \[8, 16, 3\], expected uint8 \[16, 16, 3\]"
    with pytest.raises(VideoError, match=wrong), open_film(path, 16, 16, 30) as film:
        film.write(np.zeros((8, 16, 3), np.uint8))
    assert [file.name for file in tmp_path.iterdir()] == [name] * bool(path.suffix)
    if path.suffix:
        assert path.read_text() == "the film of before"
        write(path, 16, 16)
        assert path.stat().st_size > 100


def test_what_ffmpeg_says_is_in_the_error(tmp_path):
    # Where the film is written until it is whole, there is the device that is always full.
    (tmp_path / f".film.webm.{os.getpid()}.partial.webm").symlink_to("/dev/full")
    with pytest.raises(VideoError, match=r"(?s)ffmpeg ended with \d+: .*No space left on device"):
        write(tmp_path / "film.webm", count=30, quality=100)
    assert list(tmp_path.iterdir()) == []


def test_a_program_that_is_interrupted_leaves_nothing(tmp_path):
    script = (
        "import sys, numpy as np\nfrom pathlib import Path\nfrom neurocity.video.film import open_film\n"
        "with open_film(Path(sys.argv[1]), 64, 64, 30) as film:\n"
        "    while True:\n"
        "        film.write(np.zeros((64, 64, 3), np.uint8)); print(film.frames, flush=True)\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path / "film.mp4")]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, start_new_session=True
    ) as process:
        assert process.stdout is not None
        while process.stdout.readline() and not any(tmp_path.iterdir()):
            pass
        assert any(tmp_path.iterdir())
        # As a terminal does it: to every process of the foreground.
        os.killpg(process.pid, signal.SIGINT)
        while process.stdout.read(65536):
            pass
        assert process.wait(PATIENCE) != 0
    deadline = time.monotonic() + PATIENCE
    while list(tmp_path.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("film.avi", (16, 16, 30.0), r"film\.avi, expected a name that ends in \.mp4, \.webm, \.zip"),
        ("film.mp4", (0, 16, 30.0), "got 0x16 pixels"),
        ("film.mp4", (16, 20000, 30.0), "expected sides of 1 to 16384"),
        ("film.mp4", (16, 16, 0.0), "got 0.0 frames per second"),
        ("film.mp4", (16, 16, 30.0, 101), "quality: got 101, expected 1 to 100"),
        ("film.zip", (16, 16, 30.0, 90), r"quality: is for \.mp4 and \.webm"),
        ("absent/film.mp4", (16, 16, 30.0), "absent is not a folder"),
        ("full", (16, 16, 30.0), "which is a folder with something in it"),
        ("folder.mp4", (16, 16, 30.0), "which is a folder"),
        ("file", (16, 16, 30.0), "which is a file"),
    ],
)
def test_films_that_cannot_be_are_refused(name, arguments, message, tmp_path):
    for folder in ("full", "full/inside", "folder.mp4"):
        (tmp_path / folder).mkdir()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=message), open_film(tmp_path / name, *arguments):
        pass
    assert len(list(tmp_path.iterdir())) == 3


def test_without_ffmpeg_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "imageio_ffmpeg", None)
    with pytest.raises(MissingDependencyError, match=r"pip install 'neurocity\[video\]'"):
        write(tmp_path / "film.mp4")
    assert write(tmp_path / "film.zip").is_file()
    (tmp_path / "film.zip").unlink()
    assert list(tmp_path.iterdir()) == []
