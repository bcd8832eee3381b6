"""The configuration of a run: written, given back, overridden by name, and refused when it makes no sense."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
import tyro
import yaml
from fixtures_training import TINY_MODEL, TINY_TRAINING
from training_states import differences, state

from neurocity.cli import main
from neurocity.errors import ConfigError
from neurocity.families import find_family
from neurocity.training.config import TrainingConfig
from neurocity.training.run_config import assignments, read_run_config, with_values

MODEL = find_family("instant_ngp").config_class()
TRAINING = find_family("instant_ngp").lightning_config_class()


def train(out: Path, *options: str) -> int:
    try:
        return main(["train", "--out", str(out), *options])
    except SystemExit as end:
        return int(end.code or 0)


@pytest.fixture(scope="module")
def configured(sphere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of three steps in two epochs."""
    out = tmp_path_factory.mktemp("configured")
    values = [f"model.{name}={value}" for name, value in TINY_MODEL.items() if name != "scene_bounds"]
    values += [
        f"training.{name}={value}" for name, value in TINY_TRAINING.items() if name != "steps_per_epoch"
    ]
    options = ["--max-steps", "3", "--steps-per-epoch", "2", "--seed", "5", "--early-stopping-patience", "9"]
    words = ["instant_ngp", "--data", str(sphere), "--device", "cpu", *options, "--set", *values]
    assert train(out, *words) == 0
    return out


def test_the_file_says_everything(configured: Path, sphere: Path) -> None:
    content = yaml.safe_load((configured / "config.yaml").read_text())
    record = torch.load(configured / "checkpoints" / "last.ckpt", weights_only=True)["hyper_parameters"]
    assert content["family"] == "instant_ngp"
    assert content["data"] == {
        "path": str(sphere),
        "downscale": 1,
        "missing": "error",
        "bounds": None,
        "unbounded": None,
    }
    for section, key, kind in (("model", "model_config", MODEL), ("training", "lightning_config", TRAINING)):
        written = with_values(kind.preset("cpu"), content[section], where=section)
        assert written == kind(**record[key])
    assert content["run"]["max_steps"] == 3
    assert content["run"]["early_stopping_patience"] == 9
    assert content["versions"]["torch"] == torch.__version__
    assert set(content["run"]) & {"out", "resume", "progress"} == set()


def test_given_back_it_repeats_the_run(configured: Path, tmp_path: Path) -> None:
    assert train(tmp_path, "--config", str(configured / "config.yaml")) == 0
    last = Path("checkpoints") / "last.ckpt"
    assert differences(state(configured / last), state(tmp_path / last)) == []
    first, second = (yaml.safe_load((run / "config.yaml").read_text()) for run in (configured, tmp_path))
    assert first == second


def test_named_options_win_over_the_file(configured: Path, sphere: Path, tmp_path: Path) -> None:
    options = ["--config", str(configured / "config.yaml"), "--max-steps", "1", "--seed", "8"]
    bounds = ["--bounds", "-1", "-1", "-1", "1", "1", "1"]
    assert train(tmp_path, *options, *bounds, "--set", "training.learning_rate=2e-3") == 0
    before, now = (yaml.safe_load((run / "config.yaml").read_text()) for run in (configured, tmp_path))
    assert now["run"]["max_steps"] == 1
    assert (now["training"]["seed"], now["training"]["learning_rate"]) == (8, 2e-3)
    assert now["model"].pop("scene_bounds") == now["data"]["bounds"] == [-1, -1, -1, 1, 1, 1]
    assert now["model"] == {name: before["model"][name] for name in now["model"]}
    assert now["data"]["path"] == str(sphere)


def test_the_files_values_are_the_defaults(
    configured: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(tmp_path / "run", "--config", str(configured / "config.yaml"), "--help") == 0
    shown = capsys.readouterr().out
    values = {"Model family": "instant_ngp", "--device": "cpu", "--max-steps": 3, "--early-stopping": 9}
    for name, value in values.items():
        assert f"(default: {value})" in shown[shown.index(name) :][:300], name


def test_parts_of_a_file_change_the_preset(sphere: Path, tmp_path: Path) -> None:
    part = tmp_path / "part.yaml"
    part.write_text("model: {num_levels: 3}\ntraining: {learning_rate: 1e-3}\n")
    sections = read_run_config(part)
    model = with_values(MODEL.preset("cpu"), sections.model, where="model")
    assert model == MODEL.preset("cpu", num_levels=3)
    training = with_values(TRAINING.preset("cpu"), sections.training, where="training")
    assert training == TRAINING.preset("cpu", learning_rate=1e-3)
    assert train(tmp_path / "run", "--config", str(part), "--data", str(sphere)) == 2, "no family"


@pytest.mark.parametrize(
    ("values", "field", "expected"),
    [
        ({"num_levels": "7"}, "num_levels", 7),
        ({"step_growth": "1e-3"}, "step_growth", 1e-3),
        ({"step_growth": 1}, "step_growth", 1.0),
        ({"unbounded": "true"}, "unbounded", True),
        ({"scene_bounds": "[0, 0, 0, 1, 2, 3.5]"}, "scene_bounds", (0.0, 0.0, 0.0, 1.0, 2.0, 3.5)),
        ({"hash_kind": "base_convert"}, "hash_kind", "base_convert"),
    ],
)
def test_values_are_read_by_their_types(values: dict[str, Any], field: str, expected: Any) -> None:
    assert getattr(with_values(MODEL.preset("cpu"), values, where="model"), field) == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"num_level": 7}, r"model\.num_level: unknown; model has scene_bounds, .*num_levels, "),
        ({"num_levels": "many"}, "model.num_levels: got 'many'; input should be a valid integer"),
        ({"num_levels": 7.5}, r"got 7\.5; input should be a valid integer"),
        ({"num_levels": True}, "got True; input should be a valid integer"),
        ({"unbounded": "yes"}, "got 'yes'; input should be a valid boolean"),
        ({"scene_bounds": "[0, 1]"}, r"got '\[0, 1\]'; field required"),
        ({"hash_kind": "sha"}, "got 'sha'; input should be"),
    ],
)
def test_unknown_names_and_wrong_types_are_errors(values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        with_values(MODEL.preset("cpu"), values, where="model")


def test_a_family_names_only_the_defaults_that_it_changes(capsys: pytest.CaptureFixture[str]) -> None:
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Own(TrainingConfig, ema_decay=0.5):
        extra: int = 1

    names = [item.name for item in dataclasses.fields(TrainingConfig)]
    assert [item.name for item in dataclasses.fields(Own)] == [*names, "extra"]
    assert (Own().ema_decay, TrainingConfig().ema_decay) == (0.5, 0.999)
    with pytest.raises(SystemExit):
        tyro.cli(Own, args=["--help"])
    assert "Decay of the average per step. (default: 0.5)" in capsys.readouterr().out
    with pytest.raises(ConfigError, match=r"ema_decay: got 1\.0"):
        Own(ema_decay=1.0)
    with pytest.raises(KeyError, match="ema"):
        type("Other", (TrainingConfig,), {}, ema=0.5)


@pytest.mark.parametrize("text", ["num_levels=3", "model.num_levels", "data.path=x", "model=3", "="])
def test_assignments_name_a_section(text: str) -> None:
    with pytest.raises(ConfigError, match=r"expected model\.NAME=VALUE or training\.NAME=VALUE"):
        assignments([text])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[1, 2]", "has a list; expected the sections"),
        ("family: instant_ngp\nmodle: {}", "has family, modle; expected the sections family, data, model"),
        ("model: 3", "model is 3, expected names with values"),
        ("a: [", "cannot be read as YAML"),
        ("", "has a NoneType; expected the sections"),
    ],
)
def test_files_that_are_no_configuration(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_run_config(tmp_path / "config.yaml")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--config", "absent.yaml"], "absent.yaml cannot be read"),
        ([], "Model family. (required)"),
        (["instant_ngp"], "--data FOLDER"),
        (["instant_ngp", "--config", "other.yaml"], "got instant_ngp, but other.yaml is of svraster"),
        (["--config", "run.yaml"], "run.device: got 'tpu'; input should be 'auto', 'cpu' or 'cuda'"),
        (["--config", "out.yaml"], "run.out: unknown; run has max_steps, max_minutes"),
    ],
)
def test_wrong_usage(
    options: list[str],
    message: str,
    sphere: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("other.yaml").write_text(f"family: svraster\ndata: {{path: {sphere}}}")
    for name, section in (("run", "{device: tpu}"), ("out", "{out: here}")):
        Path(f"{name}.yaml").write_text(f"family: instant_ngp\ndata: {{path: {sphere}}}\nrun: {section}")
    assert train(tmp_path / "run", *options) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
