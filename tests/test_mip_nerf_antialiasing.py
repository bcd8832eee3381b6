"""The integrated encoding beats the plain one where pixels are large against the encoding's waves."""

import sys
from pathlib import Path

import pytest

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


@pytest.mark.slow
def test_integration_wins_at_every_reduced_resolution(lego_200: Path) -> None:
    results = antialiasing.compare(antialiasing.Arguments(lego_200, steps=500, views=3))
    with_it, thin, without = results["integrated"], results[antialiasing.THIN], results["of means"]
    assert all(one > other + 0.1 for one, other in zip(with_it[1:], without[1:], strict=True))
    # The same model with the radii of another camera: each step down in size needs wider cones.
    assert thin[0] == with_it[0]
    assert all(one > other for one, other in zip(with_it[1:], thin[1:], strict=True))
    assert with_it[-1] > thin[-1] + 0.1
