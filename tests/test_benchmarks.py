"""The benchmarks run and print their tables, at sizes that say nothing of speed."""

import json
import re
import shutil
import socket
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import voxel_scene
from ball_scene import no_browser
from fixtures_training import TINY_MODEL, TINY_TRAINING
from PIL import Image
from web_scene_page import write_scene

from benchmarks import (
    bounds,
    city,
    frame_time,
    machine,
    serving,
    side_by_side,
    storage,
    training,
    training_run,
    web,
    web_large,
)
from benchmarks.gateway import served
from benchmarks.load import command as load
from benchmarks.s3_server import S3Server
from export.bits import Bits
from export.formats.onnx import OnnxFormat
from export.parity.pictures import decode_png
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


def test_no_other_gateway_is_measured() -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        with pytest.raises(SystemExit, match=f"port {port}: Address already in use"), served("", "", port):
            pass


def test_the_gateway_under_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    # Large enough for several tiles: in the class of small pictures these would be refused.
    repository = str(voxel_scene.write_repository(tmp_path))
    options = ["--scene", voxel_scene.SCENE, "--size", "32", "--large", "2048", "--seconds", "0.5"]
    options += ["--factors", "1", "4", "--port", "8769", "--queue-seconds", "0.05"]
    monkeypatch.setattr(sys, "argv", ["load", repository, *options])
    load.main()
    output = capsys.readouterr().out
    assert re.search(r"8x8 png: [\d.]+ ms, the engine alone [\d.]+: the gateway adds", output)
    assert len(re.findall(r"closed loop, \d clients: [\d.]+ pictures/s", output)) == 3
    assert len(re.findall(r"x capacity: sent \d+, statuses .*; [\d.]+ pictures/s", output)) == 2
    assert len(re.findall(r"capacity [\d.]+ before and [\d.]+ pictures/s after: goodput [\d.]+", output)) == 2
    burst = re.search(r"burst of 100 of 64x64: statuses (.*); refused", output)
    assert burst is not None
    counts = {int(status): int(number) for number, status in re.findall(r"(\d+) x (\d+)", burst[1])}
    assert sum(counts.values()) == 100
    assert set(counts) == {200, 503}
    assert "Retry-After: told " in output
    assert re.search(r"it has \d+% of the pictures", output)
    assert re.search(r"beside 2048x2048 [\d.]+ / [\d.]+ ms \(\d+ x 200\); waits", output)
    assert "5 leave renders of 2048x2048: " in output
    assert "100 equal requests: statuses 100 x 200, 1 renders" in output
    verdicts = dict(re.findall(r"^\| (.+?) \| .* \| (holds|MISSED) \|$", output, re.MULTILINE))
    assert len(verdicts) == 17
    # What no slow machine changes.
    assert verdicts["drain under load: requests lost"] == "holds"
    assert verdicts["live views told and closed"] == "holds"
    assert verdicts["exit code after SIGTERM"] == "holds"
    assert verdicts["burst of 100: reserved"] == "holds"
    assert verdicts["100 equal requests"] == "holds"


@pytest.mark.nightly
@pytest.mark.slow
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


@pytest.mark.slow
def test_faults_of_object_storage_lose_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The benchmark itself ends where a version is served that must not be, or none that must be."""
    repository = str(voxel_scene.write_repository(tmp_path / "repository"))
    options = ["--scene", voxel_scene.SCENE, "--size", "16", "--dead-seconds", "3", "--port", "8770"]
    for name in S3Server("", 0, None).environment():
        monkeypatch.setenv(name, "is set by the benchmark")
    monkeypatch.setattr(sys, "argv", ["storage", repository, *options])
    storage.main()
    output = capsys.readouterr().out
    _, _, start, *faults, refused = [line.split("|")[1:-1] for line in output.splitlines() if line[:1] == "|"]
    assert "its first answer after" in start[-1]
    assert len(faults) == 5
    for _, statuses, _, seen in faults:
        assert re.fullmatch(r" \d+ x 200 ", statuses), output
        assert "after" in seen
    assert (
        "exit code 1: `neurocity-serve: s3://bucket/models: cannot be listed: access is denied" in refused[-1]
    )
    assert "a-wrong-one" not in output


def test_how_a_web_scene_loads_and_draws(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("playwright.sync_api", reason="drawing a web scene needs the package playwright")
    if shutil.which("chromium") is None:
        pytest.skip("drawing a web scene needs a browser: apt-get install chromium")
    write_scene(tmp_path / "1", voxel_scene.voxel_model(), Bits())
    options = ["--width", "16", "--height", "14", "--views", "1", "--megabits", "1000"]
    monkeypatch.setattr(sys, "argv", ["web", str(tmp_path / "1"), *options])
    web.main()
    rows = [line.strip("| ").split(" | ") for line in capsys.readouterr().out.splitlines() if line[:1] == "|"]
    assert [row[0] for row in rows[2:]] == list(web.RENDERERS)
    for first, full, decoding, still, moving, loops, fetches, _ in (row[1:] for row in rows[3:]):
        assert 0.0 < float(first) <= float(full)
        assert float(decoding) >= 0.0
        assert all(float(part) >= 0.0 for part in (*still.split(" / "), *moving.split(" / ")))
        mean, most = map(float, loops.split(" / "))
        assert 0.0 < float(fetches) <= mean + 1.0 <= most + 1.0


def test_a_large_web_scene_is_made_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("export.formats.web.draw_in_chromium", no_browser)
    monkeypatch.setattr(sys, "argv", ["web_large", str(tmp_path), "--side", "32", "--rows", "8"])
    web_large.main()
    printed = capsys.readouterr().out
    assert ", 9 levels, " in printed
    assert printed.count("| decoder and compiled kernels no browser is installed | 200.0 |") == 3
    picture = decode_png((tmp_path / "poster.png").read_bytes(), "poster.png")
    assert picture.std() > 10.0, "there is something to see"


def test_the_cost_of_a_frame_against_the_size_of_a_city(capsys: pytest.CaptureFixture[str]) -> None:
    city.main(city.Arguments(sides=(1, 2), level=6, width=24, height=18, repeats=1))
    printed = capsys.readouterr().out
    rows = [line.split("│")[1:-1] for line in printed.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row[:2]] for row in rows] == [
        [view, blocks] for blocks in ("1", "4") for view in ("far", "near")
    ]
    assert {row[-2].strip() for row in rows} == {"inf"}
    assert len(re.findall(r"(far|near), largest against smallest: [\d.]+ times", printed)) == 2
