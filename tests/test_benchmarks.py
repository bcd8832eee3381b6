"""The benchmarks run and print their tables, at sizes that say nothing of speed."""

import json
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import voxel_scene
from fixtures_training import TINY_MODEL, TINY_TRAINING
from PIL import Image

from benchmarks import bounds, frame_time, load, machine, serving, side_by_side, training, training_run
from export.formats.onnx import OnnxFormat
from neurocity.data.load import load_scene
from neurocity.families import find_family


def test_frame_times_of_all_renderers(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = str(trained_run / "checkpoints" / "last.ckpt")
    options = ["--sizes", "12x12", "16x16", "--repeats", "1", "--rays-per-call", "100"]
    options += ["--formats", "torchscript"]  # others take no other way, and are written for long
    monkeypatch.setattr(sys, "argv", ["frame_time", checkpoint, *options])
    frame_time.main()
    output = capsys.readouterr().out
    assert machine.facts() in output
    heads, _, *rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line[:1] == "|"
    ]
    table = {row[1]: dict(zip(heads, row, strict=True)) for row in rows}
    artefacts = ["torchscript fp32"]
    assert list(table) == [frame_time.GRAPH, frame_time.KERNELS, *artefacts]
    for name, row in table.items():
        assert row["family"] == "instant_ngp"
        assert float(row["PSNR against eager, dB"]) > 80.0, name
        assert min(float(row["12x12, ms"]), float(row["16x16, ms"])) >= 0.0
        assert int(row["rays/s"].replace(",", "")) > 0
        assert float(row["times the eager graph"]) > 0.0
        assert float(row["beside neighbours, ms"]) >= 0.0
        assert bool(row["MiB"]) == bool(row["written in, s"]) == (name in artefacts)
    assert table[frame_time.GRAPH]["times the eager graph"] == "1.00"


def test_what_http_adds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    repository = str(voxel_scene.write_repository(tmp_path))
    options = ["--scene", voxel_scene.SCENE, "--size", "16", "--frames", "3", "--format", "npy"]
    monkeypatch.setattr(sys, "argv", ["serving", repository, *options, "--port", "8767"])
    serving.main()
    figures = re.search(
        r"median ([\d.]+) ms a frame, ([\d.]+) ms of the engine alone: HTTP adds (-?[\d.]+) ms; .* (\d+) MiB",
        capsys.readouterr().out,
    )
    assert figures is not None
    whole, alone, added = (float(figure) for figure in figures.groups()[:3])
    assert added == pytest.approx(whole - alone, abs=0.11)
    assert int(figures[4]) > 20


def test_the_gateway_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Large enough for several tiles: in the class of small pictures these would be refused.
    repository = str(voxel_scene.write_repository(tmp_path))
    options = ["--scene", voxel_scene.SCENE, "--size", "32", "--large", "2048", "--seconds", "0.5"]
    options += ["--factors", "1", "4", "--port", "8769", "--queue-seconds", "0.01"]
    monkeypatch.setattr(sys, "argv", ["load", repository, *options])
    load.main()
    output = capsys.readouterr().out
    assert re.search(r"8x8: [\d.]+ ms, the engine alone [\d.]+: the gateway adds", output)
    assert len(re.findall(r"closed loop, \d clients: [\d.]+ pictures/s", output)) == 3
    assert len(re.findall(r"x capacity: sent \d+, statuses .*goodput [\d.]+ of capacity", output)) == 2
    burst = re.search(r"burst of 100 of 64x64: statuses (.*); refused", output)
    assert burst is not None
    counts = {int(status): int(number) for number, status in re.findall(r"(\d+) x (\d+)", burst[1])}
    assert sum(counts.values()) == 100
    assert set(counts) == {200, 503}
    assert "Retry-After: " in output
    assert re.search(r"it has \d+% of the pictures", output)
    assert re.search(r"beside 2048x2048 [\d.]+ / [\d.]+ ms \(\d+ x 200\); waits", output)
    assert "100 ask for 2048x2048: " in output
    assert "100 equal requests: statuses 100 x 200, 1 renders" in output


def test_bounds_of_onnx_runtime(
    ngp_checkpoint: Path,
    ngp_repository: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On the artefact that is there already, as an export takes long."""
    artefact = (ngp_repository / "ngp_onnx" / "1" / "model.onnx").read_bytes()
    monkeypatch.setattr(OnnxFormat, "encode", lambda *_: artefact)
    monkeypatch.setattr(sys, "argv", ["bounds", str(ngp_checkpoint), "--size", "12"])
    bounds.main()
    output = capsys.readouterr().out
    assert "row gathers" in output
    assert "times its bound" in output


def test_training_of_families_for_budgets(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Twice, the second time with nothing left to do. In this process, to save its start; a tiny preset."""
    made: list[training_run.TrainingRun] = []

    def measured(run: training_run.TrainingRun, out: Path) -> dict[str, Any]:
        made.append(run)
        return json.loads(json.dumps(training_run.measure(run, out)))

    family = find_family("instant_ngp")
    model, config = family.config_class(), family.lightning_config_class()
    monkeypatch.setattr(training, "_measured", measured)
    monkeypatch.setattr(model, "preset", lambda _: model(**TINY_MODEL))
    monkeypatch.setattr(config, "preset", lambda _, **changes: config(**{**TINY_TRAINING, **changes}))
    changes = ["--changes", "model.num_levels=2"]
    options = ["--data", sphere, "--out", tmp_path, "--families", "instant_ngp", "--device", "cpu", *changes]
    words = [str(word) for word in [*options, "--curve-views", "1", "--minutes", "0.002", "0.004"]]
    monkeypatch.setattr(sys, "argv", ["training", *words])
    for _ in range(2):
        training.main()
    assert [run.minutes for run in made] == [0.002, 0.004]
    output = capsys.readouterr().out
    results = json.loads((tmp_path / "results.json").read_text()).values()
    assert len(results) == 2
    for result in results:
        minutes, name = result["run"]["minutes"], "instant_ngp model.num_levels=2"
        row = f"| {name} | {minutes:g} | {result['steps']} | {result['psnr']:.2f} |"
        assert output.count(row) == 2
        seconds = [point[0] for point in result["curve"]]
        assert seconds == sorted(seconds)
        assert seconds[-1] >= 60.0 * minutes
        assert all(5.0 < quality < 60.0 for _, quality in result["curve"])
        assert min(result["rays/s"], result["samples/s"], result["peak_memory_mib"]) > 0.0
    assert "| family | PSNR after 0.002 min | PSNR after 0.004 min |" in output
    with Image.open(tmp_path / "curves.png") as picture:
        assert picture.size == (960, 600)


def test_a_training_that_fails_says_why_and_keeps_what_was_measured(sphere: Path, tmp_path: Path) -> None:
    run = training_run.TrainingRun(family="nerf", minutes=1.0, data=sphere)
    with pytest.raises(SystemExit, match=r"family: got 'nerf', expected one of"):
        training._measured(run, tmp_path / "nerf-1min")


def test_photograph_render_and_error_side_by_side(
    trained_run: Path,
    sphere: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    checkpoint = str(trained_run / "checkpoints" / "last.ckpt")
    out = tmp_path / "rows.png"
    options = ["--data", str(sphere), "--out", str(out), "--views", "0", "1"]
    monkeypatch.setattr(sys, "argv", ["side_by_side", checkpoint, checkpoint, *options])
    side_by_side.main()
    rows = [line for line in capsys.readouterr().out.splitlines() if line.startswith("| instant_ngp")]
    assert len(rows) == 2
    assert rows[0] == rows[1]
    truth = load_scene(sphere).held_out[0].load_image()
    height, width = truth.shape[:2]
    with Image.open(out) as picture:
        shown = np.asarray(picture).astype(int)
    assert shown.shape[1] == 6 * width + 5 * side_by_side.GAP
    alpha = truth[..., 3:] / 255.0
    photograph = shown[side_by_side.HEADING : side_by_side.HEADING + height, :width]
    np.testing.assert_allclose(photograph, truth[..., :3] * alpha + 255.0 * (1.0 - alpha), atol=1.0)
    render = shown[side_by_side.HEADING : side_by_side.HEADING + height, width + side_by_side.GAP :][
        :, :width
    ]
    error = shown[side_by_side.HEADING : side_by_side.HEADING + height, 2 * (width + side_by_side.GAP) :][
        :, :width
    ]
    expected = np.abs(render - photograph).mean(-1) * side_by_side.BRIGHTER
    np.testing.assert_allclose(error[..., 0], np.minimum(expected, 255.0), atol=4.0)
