"""Checkpoints open without Lightning and without running code, and what is wrong with a file is said."""

import contextlib
import hashlib
import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from fixtures_training import TINY_MODEL
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from neurocity.checkpoint import FORMAT_VERSION, load_checkpoint
from neurocity.errors import CheckpointError
from neurocity.instant_ngp.core import InstantNGP, InstantNGPConfig


@pytest.fixture(scope="module")
def content() -> dict[str, Any]:
    """The dictionary of a small, good checkpoint."""
    config = {**TINY_MODEL, "log2_hashmap_size": 8, "num_levels": 2, "occupancy_resolution": 8}
    model = InstantNGP(InstantNGPConfig(**config))
    return {
        "state_dict": {f"model.{name}": value for name, value in model.state_dict().items()},
        "global_step": 12,
        "hyper_parameters": {
            "format_version": FORMAT_VERSION,
            "family": "instant_ngp",
            "model_config": config,
            "lightning_config": {},
            "scene": {
                "bounds": [-1.5, -1.5, -1.5, 1.5, 1.5, 1.5],
                "up": [0, 0, 1],
                "background": None,
                "views": [],
                "dataset_fingerprint": "0" * 64,
            },
            "metrics": {"val/psnr": 20.0},
        },
    }


def changed(content: dict[str, Any], path: str, value: Any) -> dict[str, Any]:
    """A copy in which the entry at `path` (keys joined by dots) is another one, or absent when `...`."""
    key, _, rest = path.partition(".")
    copy = dict(content)
    if rest:
        copy[key] = changed(content[key], rest, value)
    elif value is ...:
        del copy[key]
    else:
        copy[key] = value
    return copy


def saved(content: Any, path: Path) -> Path:
    torch.save(content, path)
    return path


def test_a_trained_checkpoint_opens(trained_run: Path) -> None:
    path = trained_run / "checkpoints" / "last.ckpt"
    raw = torch.load(path, weights_only=True)
    assert raw["hyper_parameters"]["family"] == "instant_ngp"
    checkpoint = load_checkpoint(path)
    assert checkpoint.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert checkpoint.model_config == InstantNGPConfig(**TINY_MODEL)
    for name, value in checkpoint.model.state_dict().items():
        assert torch.equal(value, raw["state_dict"][f"model.{name}"])
    assert not any(parameter.requires_grad for parameter in checkpoint.model.parameters())
    assert not checkpoint.model.training


def test_a_small_one_opens_too(content: dict[str, Any], tmp_path: Path) -> None:
    """So that the failures below are not those of the small one."""
    checkpoint = load_checkpoint(saved(content, tmp_path / "good.ckpt"))
    assert checkpoint.step == 12
    assert checkpoint.info.up == (0.0, 0.0, 1.0)


def test_opening_needs_no_lightning(content: dict[str, Any], tmp_path: Path) -> None:
    path = saved(content, tmp_path / "good.ckpt")
    script = (
        "import sys; from neurocity.checkpoint import load_checkpoint; "
        f"load_checkpoint({str(path)!r}); "
        "print([name for name in sys.modules if 'lightning' in name])"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("hyper_parameters", ..., "is not a NeuroCity checkpoint"),
        ("hyper_parameters", {"lr": 0.1}, "it lacks format_version, family, model_config, scene, metrics"),
        ("hyper_parameters.scene", ..., "it lacks scene"),
        ("state_dict", ..., "is not a NeuroCity checkpoint"),
        ("state_dict", [1, 2], "is not a NeuroCity checkpoint"),
        ("hyper_parameters", {"format_version": 2, "anything": 1}, "format 2 is newer than this release"),
        ("hyper_parameters.format_version", 99, r"format 99 is newer than this release reads \(1\)"),
        ("hyper_parameters.format_version", ..., "format_version"),
        ("hyper_parameters.format_version", "one", "format_version"),
        ("hyper_parameters.family", "gaussian_splats", "'gaussian_splats', expected one of .*instant_ngp"),
        ("hyper_parameters.family", ["instant_ngp"], "configuration cannot be used"),
        ("hyper_parameters.model_config", {"wings": 2}, "wings"),
        ("hyper_parameters.model_config", None, "configuration cannot be used"),
        ("hyper_parameters.model_config.num_levels", 0, "levels=0"),
        ("hyper_parameters.model_config.num_levels", "many", "configuration cannot be used"),
        ("hyper_parameters.model_config.scene_bounds", (0, 0, 0, 0, 0, 0), "scene_bounds"),
        ("hyper_parameters.model_config.hidden_dim", 48, "weights do not fit its configuration"),
        ("hyper_parameters.model_config.log2_hashmap_size", 9, "weights do not fit its configuration"),
        ("hyper_parameters.scene.up", "north", "scene.up"),
        ("hyper_parameters.scene.bounds", [0, 1], r"scene.bounds.*got 2 values, expected 6"),
        ("hyper_parameters.metrics", 3, "metrics"),
        ("state_dict", {}, "weights do not fit its configuration"),
    ],
)
def test_wrong_contents_are_named(
    path: str, value: Any, message: str, content: dict[str, Any], tmp_path: Path
) -> None:
    file = saved(changed(content, path, value), tmp_path / "wrong.ckpt")
    with pytest.raises(CheckpointError, match=message) as caught:
        load_checkpoint(file)
    assert str(caught.value).startswith(str(file))


@pytest.mark.parametrize("foreign", [[1, 2, 3], torch.zeros(3), {"model": {}}, {"state_dict": {}}, None])
def test_foreign_torch_files_are_refused(foreign: Any, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is not a NeuroCity checkpoint"):
        load_checkpoint(saved(foreign, tmp_path / "foreign.ckpt"))


def test_a_checkpoint_cannot_run_code(content: dict[str, Any], tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "sprung",))

    file = saved(changed(content, "hyper_parameters.metrics", {"trap": Trap()}), tmp_path / "trap.ckpt")
    with pytest.raises(CheckpointError, match="cannot be read as a checkpoint"):
        load_checkpoint(file)
    assert not (tmp_path / "sprung").exists()


def test_missing_files_and_folders_are_named(tmp_path: Path) -> None:
    for path in (tmp_path / "absent.ckpt", tmp_path):
        with pytest.raises(CheckpointError, match="no such file"):
            load_checkpoint(path)


@pytest.mark.parametrize("share", [0.0, 0.01, 0.3, 0.9, 0.999])
def test_truncated_files_are_refused(share: float, content: dict[str, Any], tmp_path: Path) -> None:
    whole = saved(content, tmp_path / "whole.ckpt").read_bytes()
    file = tmp_path / "truncated.ckpt"
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(
        CheckpointError, match=rf"cannot be read as a checkpoint \({file.stat().st_size} bytes"
    ):
        load_checkpoint(file)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.binary(max_size=400))
def test_random_bytes_are_refused(data: bytes, tmp_path: Path) -> None:
    file = tmp_path / "random.ckpt"
    file.write_bytes(data)
    with pytest.raises(
        CheckpointError, match=r"cannot be read as a checkpoint|is not a NeuroCity checkpoint"
    ):
        load_checkpoint(file)


@settings(max_examples=50, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0.0, 1.0, exclude_max=True), byte=st.integers(0, 255), length=st.integers(1, 16))
def test_damaged_files_open_or_are_refused(
    place: float, byte: int, length: int, content: dict[str, Any], tmp_path: Path
) -> None:
    """Damage in the weights cannot be seen; any other leads to our error and to no other."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    damaged = bytearray(buffer.getvalue())
    start = int(place * len(damaged))
    damaged[start : start + length] = bytes([byte]) * length
    file = tmp_path / "damaged.ckpt"
    file.write_bytes(damaged)
    with contextlib.suppress(CheckpointError):
        load_checkpoint(file)
