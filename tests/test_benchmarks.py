"""The benchmark of frame times runs and prints its tables, at a size that says nothing of speed."""

import sys
from pathlib import Path

import pytest

from benchmarks import frame_time, machine


def test_frame_times_of_all_renderers(
    trained_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    checkpoint = str(trained_run / "checkpoints" / "last.ckpt")
    options = ["--sizes", "12", "16", "--repeats", "1", "--naive-rays", "150"]
    monkeypatch.setattr(sys, "argv", ["frame_time", checkpoint, *options])
    frame_time.main()
    output = capsys.readouterr().out
    assert machine.facts() in output
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]] for line in output.splitlines() if line[:1] == "|"
    ]
    for size in ("12x12", "16x16"):
        times = {row[1]: float(row[2]) for row in rows if row[0] == size}
        assert list(times)[1:] == ["eager, compiled kernels", "TorchScript", "ONNX Runtime"]
        assert all(seconds >= 0.0 for seconds in times.values())
    assert ["16x16", "naive (150 rays, scaled)"] in [row[:2] for row in rows], "what was not measured is said"
    assert "row gathers" in output
    assert "times its bound" in output
