"""The integrated encoding beats the plain one where pixels are large against the encoding's waves."""

import json
import sys
from pathlib import Path

import pytest
from PIL import Image

from benchmarks import antialiasing


def test_the_benchmark_prints_a_table(
    sphere: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--data", str(sphere), "--steps", "3", "--scales", "1", "2", "--views", "1"]
    monkeypatch.setattr(sys, "argv", ["antialiasing", *options])
    antialiasing.main()
    rows = [line.split("|")[1:-1] for line in capsys.readouterr().out.splitlines() if line[:1] == "|"]
    assert [row[0].strip() for row in rows[2:]] == ["integrated", antialiasing.THIN, "of means"]
    assert all(5.0 < float(cell) < 40.0 for row in rows[2:] for cell in row[1:])


@pytest.fixture
def lego_100(lego_200: Path, tmp_path: Path) -> Path:
    """A fifth of the scene's photographs and one held-out view, at half the size."""
    for split, frames in (("train", slice(None, None, 5)), ("test", slice(1))):
        document = json.loads((lego_200 / f"transforms_{split}.json").read_text())
        document["frames"] = document["frames"][frames]
        (tmp_path / f"transforms_{split}.json").write_text(json.dumps(document))
        (tmp_path / split).mkdir()
        for frame in document["frames"]:
            name = f"{frame['file_path']}.png"
            with Image.open(lego_200 / name) as photograph:
                photograph.resize((100, 100), Image.Resampling.BOX).save(tmp_path / name)
    return tmp_path


def test_integration_wins_at_every_reduced_resolution(lego_100: Path) -> None:
    results = antialiasing.compare(antialiasing.Arguments(lego_100, steps=200, views=1))
    with_it, thin, without = results["integrated"], results[antialiasing.THIN], results["of means"]
    assert all(one > other + 0.1 for one, other in zip(with_it[1:], without[1:], strict=True))
    # The same model with the radii of another camera: each step down in size needs wider cones.
    assert thin[0] == with_it[0]
    assert all(one > other for one, other in zip(with_it[1:], thin[1:], strict=True))
    assert with_it[-1] > thin[-1] + 0.1
