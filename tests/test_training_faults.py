"""What can befall a run: signals, a full disk, folders and checkpoints that are not for it."""

import os
import shlex
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from fixtures_training import TINY_MODEL, TINY_TRAINING, train_instant_ngp
from training_states import differences, state

from neurocity import checkpoint
from neurocity.checkpoint import load_checkpoint
from neurocity.cli import main
from neurocity.errors import ConfigError, TrainingInterruptedError
from neurocity.instant_ngp.lightning_trainer import InstantNGPLightningModule

TRAINING = {"steps_per_epoch": 8, "occupancy_interval": 4, "occupancy_warmup": 8}
LAST = Path("checkpoints") / "last.ckpt"


class Signals(pl.Callback):
    """Sends this process SIGINT at hooks of some steps."""

    def __init__(self, step: int, *hooks: str) -> None:
        self.step, self.hooks = step, list(hooks)

    def _at(self, hook: str, trainer: pl.Trainer) -> None:
        if trainer.global_step == self.step and hook in self.hooks:
            self.hooks.remove(hook)
            signal.raise_signal(signal.SIGINT)

    def on_train_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._at("on_train_batch_start", trainer)

    def on_before_backward(self, trainer: pl.Trainer, *_: Any) -> None:
        self._at("on_before_backward", trainer)

    def on_before_optimizer_step(self, trainer: pl.Trainer, *_: Any) -> None:
        self._at("on_before_optimizer_step", trainer)

    def on_validation_batch_start(self, trainer: pl.Trainer, *_: Any) -> None:
        self._at("on_validation_batch_start", trainer)


@pytest.fixture(scope="module")
def uninterrupted(sphere: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What 24 steps come to."""
    out = tmp_path_factory.mktemp("uninterrupted")
    return state(train_instant_ngp(sphere, out, training=TRAINING, max_steps=24))


@pytest.mark.parametrize(
    ("step", "hook", "saved"),
    [
        (2, "on_before_backward", 3),
        (7, "on_before_optimizer_step", 8),
        (8, "on_validation_batch_start", 8),
        (8, "on_train_batch_start", 8),
        (24, "on_validation_batch_start", 24),
    ],
)
def test_ctrl_c_saves_the_step_and_the_run_goes_on_exactly(
    step: int, hook: str, saved: int, uninterrupted: dict[str, Any], sphere: Path, tmp_path: Path
) -> None:
    """In an epoch, at its end before validation, while a view is rendered, and after all steps."""
    handlers = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]
    with pytest.raises(
        TrainingInterruptedError, match=rf"after step {saved}, which is saved in .*last\.ckpt"
    ):
        train_instant_ngp(sphere, tmp_path, training=TRAINING, max_steps=24, callbacks=[Signals(step, hook)])
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == handlers
    assert torch.load(tmp_path / LAST, weights_only=True)["global_step"] == saved
    train_instant_ngp(sphere, tmp_path, training=TRAINING, max_steps=24, resume=tmp_path / LAST)
    assert differences(uninterrupted, state(tmp_path / LAST)) == []
    assert sorted(path.name for path in (tmp_path / LAST).parent.glob("last*")) == ["last.ckpt"]


def test_ctrl_c_breaks_a_rendering_off(
    uninterrupted: dict[str, Any], sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The weights that are saved are not the averaged ones, which were in the model."""
    render = InstantNGPLightningModule.validation_step

    def interrupted(module: InstantNGPLightningModule, *arguments: Any) -> Any:
        if module.trainer.global_step == 16:
            signal.raise_signal(signal.SIGINT)
        return render(module, *arguments)

    with monkeypatch.context() as patch:
        patch.setattr(InstantNGPLightningModule, "validation_step", interrupted)
        with pytest.raises(TrainingInterruptedError, match="after step 16, which is saved"):
            train_instant_ngp(sphere, tmp_path, training=TRAINING, max_steps=24)
    assert not list((tmp_path / "validation").glob("step-000016-*"))
    train_instant_ngp(sphere, tmp_path, training=TRAINING, max_steps=24, resume=tmp_path / LAST)
    assert differences(uninterrupted, state(tmp_path / LAST)) == []
    assert list((tmp_path / "validation").glob("step-000016-*"))


def test_a_second_ctrl_c_leaves_at_once_and_what_was_saved_is_intact(sphere: Path, tmp_path: Path) -> None:
    twice = Signals(11, "on_before_backward", "on_before_optimizer_step")
    with pytest.raises(TrainingInterruptedError, match="left without saving"):
        train_instant_ngp(sphere, tmp_path, training=TRAINING, max_steps=24, callbacks=[twice])
    assert load_checkpoint(tmp_path / LAST).step == 8


def test_a_second_ctrl_c_while_writing_leaves_the_former_file(
    sphere: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sync = os.fsync

    def interrupted(file: int) -> None:
        # The first two are of the validation after step 8.
        writes.append(file)
        if len(writes) == 3:
            signal.raise_signal(signal.SIGINT)
        sync(file)

    writes: list[int] = []
    monkeypatch.setattr(checkpoint.os, "fsync", interrupted)
    with pytest.raises(TrainingInterruptedError):
        train_instant_ngp(
            sphere, tmp_path, training=TRAINING, max_steps=24, callbacks=[Signals(11, "on_before_backward")]
        )
    assert len(writes) == 3
    assert load_checkpoint(tmp_path / LAST).step == 8
    assert [path.suffix for path in (tmp_path / LAST).parent.iterdir()] == [".ckpt", ".ckpt"]


def command(data: Path, out: Path, *options: str) -> list[str]:
    """The tiny configurations from the command line."""
    values = [f"model.{name}={value}" for name, value in TINY_MODEL.items() if name != "scene_bounds"]
    values += [f"training.{name}={value}" for name, value in {**TINY_TRAINING, **TRAINING}.items()]
    run = ["train", "instant_ngp", "--data", str(data), "--out", str(out), "--device", "cpu"]
    return [*run, *options, "--set", *values]


def process(*arguments: str, limit: int = -1) -> subprocess.Popen[str]:
    """`neurocity` as a process, which may not write files larger than `limit` bytes (-1: any)."""
    script = "import resource as r, sys, neurocity.cli as c; n = int(sys.argv.pop(1)); "
    script += "r.setrlimit(r.RLIMIT_FSIZE, (n, n)); sys.exit(c.main())"
    return subprocess.Popen(
        [sys.executable, "-c", script, str(limit), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def test_a_terminated_command_says_how_to_go_on(sphere: Path, tmp_path: Path) -> None:
    out = tmp_path / "a run"
    with process(*command(sphere, out, "--max-steps", "100000")) as run:
        while not (out / LAST).exists() and run.poll() is None:
            time.sleep(0.05)
        run.send_signal(signal.SIGTERM)
        _, error = run.communicate(timeout=600)
    assert run.returncode == 130, error
    assert "Traceback" not in error
    words = shlex.split(error.splitlines()[-1])
    assert words[:2] == ["neurocity", "train"]
    saved = load_checkpoint(out / LAST).step
    assert f"interrupted after step {saved}, which is saved in {out / LAST}" in error
    assert main([*words[1:], "--max-steps", str(saved + 1)]) == 0
    assert load_checkpoint(out / LAST).step == saved + 1


def test_a_full_disk_is_an_error_and_what_was_saved_is_intact(sphere: Path, tmp_path: Path) -> None:
    assert main(command(sphere, tmp_path, "--max-steps", "4")) == 0
    before = {path: path.read_bytes() for path in (tmp_path / LAST).parent.iterdir()}
    resumed = command(sphere, tmp_path, "--max-steps", "8", "--resume", str(tmp_path / LAST))
    with process(*resumed, limit=len(before[tmp_path / LAST]) // 2) as run:
        _, error = run.communicate(timeout=600)
    assert run.returncode == 1, error
    assert "Traceback" not in error
    assert "cannot be written (File too large); what was saved before is intact" in error
    assert {path: path.read_bytes() for path in (tmp_path / LAST).parent.iterdir()} == before


def test_a_folder_that_cannot_be_written(
    sphere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("not a folder")
    assert main(command(sphere, tmp_path / "file" / "run", "--max-steps", "1")) == 2
    assert (
        f"out: {tmp_path / 'file' / 'run'} cannot be written to (Not a directory)" in capsys.readouterr().err
    )


def test_resuming_another_family_is_an_error(sphere: Path, tmp_path: Path) -> None:
    path = train_instant_ngp(sphere, tmp_path / "run", training=TRAINING, max_steps=1)
    content = torch.load(path, weights_only=True)
    content["hyper_parameters"]["family"] = "mip_nerf"
    torch.save(content, path)
    with pytest.raises(ConfigError, match=r"last\.ckpt is of family mip_nerf, not instant_ngp"):
        train_instant_ngp(sphere, tmp_path / "run", training=TRAINING, max_steps=2, resume=path)
