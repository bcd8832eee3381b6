"""The profile of an artefact: what is measured of it, in which process, and what is recommended."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fixtures_export import FORMATS, TINY_BOUNDS, export_tiny, tiny_info
from tiny_field import TinyField

import export.job.format_export
from export.formats.registry import get_format
from export.job.job import ExportOptions
from export.parity.rays import view_rays
from export.speed.measure import SIZES, choose, measure, peak_memory
from export.speed.profile import pool, profile_artefact
from neurocity.cameras import Camera, Rays
from neurocity.contract import manifest_from_json
from neurocity.errors import ConfigError, ExportError
from neurocity.light import Light

VIEWS = tiny_info().views


class _Machine:
    """An artefact on a machine with a clock of its own: a call costs a start, and so much for each ray."""

    def __init__(self, start: float, ray: float, noise: float = 0.0) -> None:
        self.now = 0.0
        self.calls: Counter[int] = Counter()
        self.largest = 0
        self._costs = (start, ray)
        self._noise = noise
        self._chance = np.random.default_rng(0)

    def render(self, rays) -> Light:
        count = len(rays)
        start, ray = self._costs
        self.now += (start + ray * count) * (1 + self._noise * self._chance.exponential())
        self.calls[count] += 1
        self.largest = max(self.largest, count)
        return Light(*(np.zeros(shape, np.float32) for shape in ((count, 3), count, count)))

    def measure(self, seconds: float = 4.0, rays_per_call: int | None = None, rays: int = 1 << 16):
        zeros = np.zeros((rays, 3), np.float32)
        return measure(
            self.render,
            Rays(zeros, zeros),
            rays_per_call=rays_per_call,
            seconds=seconds,
            clock=lambda: self.now,
            memory=lambda: 100 + self.largest,
        )


def test_large_calls_are_recommended_where_starting_one_is_dear():
    machine = _Machine(start=5e-3, ray=1e-7)
    found = machine.measure()
    assert found["rays_per_call"] == 65536
    assert found["rays_per_second"] == pytest.approx(65536 / (5e-3 + 65536e-7), rel=1e-3)
    assert found["call_p50_ms"] == pytest.approx(1e3 * (5e-3 + 65536e-7))
    assert found["settled"] is True
    assert [row["rays_per_call"] for row in found["sizes"]] == list(SIZES)


def test_small_calls_are_recommended_where_large_ones_gain_nothing():
    found = _Machine(start=1e-6, ray=1e-6).measure()
    assert found["rays_per_call"] == 1024
    assert choose([(1024, 940), (4096, 1000), (16384, 1020)]) == 4096
    assert choose([(1024, 980), (4096, 1000), (16384, 1020)]) == 1024


def test_the_peak_of_memory_is_that_of_the_recommended_size():
    found = _Machine(start=1e-5, ray=1e-6).measure()
    assert found["rays_per_call"] == 1024
    assert found["peak_memory_bytes"] == 100 + 1024
    assert found["opened_memory_bytes"] == 100
    assert [row["peak_memory_bytes"] for row in found["sizes"]] == [100 + size for size in SIZES]


@pytest.mark.parametrize("ray", [1e-7, 1e-5, 1e-4])
def test_it_takes_about_the_time_that_it_is_given(ray: float):
    machine = _Machine(start=1e-4, ray=ray, noise=0.3)
    found = machine.measure(seconds=4.0)
    assert machine.now < 8.0
    assert found["rays"] >= 4096
    assert found["calls"] * found["rays_per_call"] >= 3 * 4096
    assert found["call_p50_ms"] < found["call_p99_ms"]


def test_a_size_that_is_given_is_the_only_one_that_is_measured():
    machine = _Machine(start=1e-4, ray=1e-6)
    found = machine.measure(rays_per_call=5000)
    assert found["rays_per_call"] == 5000
    assert found["sizes"] == []
    assert found["rays"] >= 5000
    assert set(machine.calls) == {5000}


def test_what_never_settles_is_said():
    class Slowing(_Machine):
        def render(self, rays):
            self.now += 0.2 * self.now
            return super().render(rays)

    found = Slowing(start=1e-3, ray=1e-6).measure(seconds=1.0, rays_per_call=4096)
    assert found["settled"] is False


def test_fewer_rays_than_a_call_has_are_enough():
    found = _Machine(start=1e-4, ray=1e-6).measure(rays=700)
    assert (found["rays_per_call"], found["rays"]) == (700, 700)


def test_the_pool_is_of_all_views():
    small = pool(VIEWS)
    assert len(small) == 3 * 16 * 14
    np.testing.assert_array_equal(small.directions[224:448], view_rays(VIEWS[1]).directions)
    large = tuple(Camera.from_view(view).resized(300, 400).to_view(view.name) for view in VIEWS)
    found = pool(large)
    assert len(found) == 1 << 16
    for view in large:
        of_view = (found.origins == view_rays(view).origins[0]).all(axis=1)
        assert of_view.mean() == pytest.approx(1 / 3, abs=0.1)
    np.testing.assert_array_equal(found.directions[:4096], view_rays(large[0]).directions[:4096])


def test_the_pool_has_the_radii_of_all_views_where_they_are_wanted():
    found = pool(VIEWS, radii=True)
    np.testing.assert_array_equal(found.radii[224:448], view_rays(VIEWS[1], radii=True).radii)
    assert pool(VIEWS).radii is None


@pytest.mark.parametrize("name", FORMATS)
def test_an_artefact_is_measured_in_a_process_of_its_own(tiny_repository, name: str, tmp_path, monkeypatch):
    if name == "native":  # the process has to know the kind of scene that the tests have
        tests = str(Path(__file__).parent)
        start = f"import sys; sys.path.append({tests!r}); import toy_kernels; toy_kernels.register()"
        (tmp_path / "sitecustomize.py").write_text(start)
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    target = get_format(name)
    path = tiny_repository / f"tiny_{name}" / "1" / target.file_name
    found = profile_artefact(target, path, VIEWS, device="cpu", rays_per_call=None, seconds=0.3)
    json.dumps(found, allow_nan=False)
    assert found["rays_per_call"] == 672
    assert found["rays_per_second"] > 0
    assert found["frame_ms"] == pytest.approx(1e3 * 640_000 / found["rays_per_second"])
    assert found["call_p50_ms"] <= found["call_p99_ms"]
    assert found["artefact_bytes"] == path.stat().st_size
    assert found["processor"]
    own = peak_memory()
    assert own is not None, "Linux tells"
    assert 10 * 2**20 < found["opened_memory_bytes"] <= found["peak_memory_bytes"]
    if name == "onnx":  # where neither torch nor pytest is loaded
        assert found["peak_memory_bytes"] < own / 2


@pytest.mark.parametrize("name", FORMATS)
def test_where_the_bytes_go(tiny_repository, name: str):
    target = get_format(name)
    path = tiny_repository / f"tiny_{name}" / "1" / target.file_name
    tensors = target.tensor_bytes(path)
    if name == "aotinductor":
        assert tensors == {}, "they are one block without names"
        return
    assert sum(tensors.values()) < path.stat().st_size
    model = TinyField(TINY_BOUNDS).state_dict()
    for tensor in ("occupied", "hidden.weight", "out.weight", "hidden.bias"):
        if target.fixed_budget:  # where the exporter turns matrices around, and gives them other names
            assert model[tensor].nbytes in tensors.values()
        else:
            assert tensors[tensor] == model[tensor].nbytes


def test_an_artefact_that_cannot_be_measured_is_an_error_with_the_reason(tmp_path):
    path = tmp_path / "model.onnx"
    path.write_bytes(b"not a model")
    with pytest.raises(ExportError, match=r"could not be measured in a process .*INVALID_PROTOBUF"):
        profile_artefact(get_format("onnx"), path, VIEWS, device="cpu", rays_per_call=None, seconds=0.1)


def test_the_measured_size_is_recommended_and_verified(tmp_path, monkeypatch):
    """It is in the manifest beside the artefact; the one inside is equal for equal checkpoints."""
    profiled = {}

    def fake(target, path, views, **options):
        profiled.update(options)
        figures = profile_artefact(target, path, views, **options)
        return figures | {"rays_per_call": 300}

    monkeypatch.setattr(export.job.format_export, "profile_artefact", fake)
    outcome = export_tiny(tmp_path, "torchscript", rays_per_call=None, profile_seconds=0.2)
    assert outcome.error == ""
    folder = outcome.job.folder
    assert profiled == {"radii": False, "device": "cpu", "rays_per_call": None, "seconds": 0.2}
    manifest = manifest_from_json((folder / "manifest.json").read_text())
    assert manifest.rays_per_call == manifest.profile["rays_per_call"] == 300
    assert {"300 rays", "301 rays"} <= {found["rays"] for found in manifest.parity["rays"]}
    inside = manifest_from_json(get_format("torchscript").read_manifest(folder / "model.pt"))
    assert inside.profile == {}
    assert inside.rays_per_call == 4096
    report = (folder / "report.md").read_text()
    assert "## Speed and size" in report
    assert "| tensor `occupied` | 2.0 KiB |" in report
    assert f"| rays per second | {manifest.profile['rays_per_second']:,} |" in report


def test_a_size_that_the_user_gives_stays(tmp_path):
    outcome = export_tiny(tmp_path, "onnx", rays_per_call=100, profile_seconds=0.1)
    assert outcome.manifest is not None
    assert outcome.manifest.rays_per_call == outcome.manifest.profile["rays_per_call"] == 100


def test_memory_that_a_system_does_not_tell_is_not_made_up(tiny_repository, monkeypatch, tmp_path):
    from export.repository.report import markdown  # noqa: PLC0415

    monkeypatch.setattr("export.speed.measure._PROCESSES", tmp_path / "absent")
    assert peak_memory() is None
    target = get_format("onnx")
    path = tiny_repository / "tiny_onnx" / "1" / target.file_name
    found = profile_artefact(target, path, VIEWS, device="cpu", rays_per_call=64, seconds=0.1)
    found |= {"opened_memory_bytes": None, "peak_memory_bytes": None}
    manifest = manifest_from_json((path.parent / "manifest.json").read_text())
    assert "| memory: opened, peak | not measured, not measured |" in markdown(
        replace(manifest, profile=found)
    )


def test_seconds_out_of_range_are_refused():
    with pytest.raises(ConfigError, match="profile_seconds: got -1, expected 0 to 600"):
        ExportOptions(profile_seconds=-1)
