"""The resolved configuration of a run as YAML: written into every run, and given back to repeat it."""

import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, TypeVar, get_type_hints

import yaml

from neurocity.errors import ConfigError
from neurocity.training.config import TrainingConfig
from neurocity.training.options import DataOptions, RunOptions

FILE_NAME = "config.yaml"
_PACKAGES = ("neurocity", "torch", "pytorch-lightning")
# Where a run writes to and what it goes on from is not part of what it does.
RUN_FIELDS = tuple(f.name for f in fields(RunOptions) if f.name not in ("out", "resume", "progress"))

_Config = TypeVar("_Config")


@dataclass(frozen=True, kw_only=True)
class RunConfig:
    """The sections of the file; those that were read may lack values, which then are the presets'."""

    family: str | None = None
    data: Mapping[str, Any] = field(default_factory=dict)
    model: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    run: Mapping[str, Any] = field(default_factory=dict)


def write_run_config(
    family: str, data: DataOptions, *, model: Any, training: TrainingConfig, options: RunOptions
) -> Path:
    """Write `<out>/config.yaml` and return its path."""
    path = options.out / FILE_NAME
    sections = {
        "family": family,
        "data": {**asdict(data), "path": str(data.path.resolve())},
        "model": asdict(model),
        "training": {name: value for name, value in asdict(training).items() if name != "model_config"},
        "run": {name: value for name, value in asdict(options).items() if name in RUN_FIELDS},
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }
    plain = json.loads(json.dumps(sections))
    header = f"# To repeat this run: neurocity train --config {path} --out ANOTHER_FOLDER\n"
    path.write_text(header + yaml.safe_dump(plain, sort_keys=False, default_flow_style=None, width=110))
    return path


def read_run_config(path: Path) -> RunConfig:
    """Read such a file, whole or in parts. Raises ConfigError when it is none."""
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise ConfigError(f"config: {path} cannot be read as YAML: {error}") from None
    known = [section.name for section in fields(RunConfig)]
    if not isinstance(content, dict) or not content.keys() <= {*known, "versions"}:
        got = ", ".join(map(str, content)) if isinstance(content, dict) else f"a {type(content).__name__}"
        raise ConfigError(f"config: {path} has {got}; expected the sections {', '.join(known)} and versions")
    sections = {name: content[name] for name in known if content.get(name) is not None}
    for name, section in sections.items():
        if not isinstance(section, str if name == "family" else dict):
            raise ConfigError(f"config: {path}: {name} is {section!r}, expected names with values")
    return RunConfig(**sections)


def with_values(
    config: _Config, values: Mapping[str, Any], *, where: str, known: Sequence[str] = ()
) -> _Config:
    """A configuration with some fields changed to values as text or YAML has them, checked by their types.

    where: the section's name, for errors. known: the fields that may change; all when empty.
    Raises ConfigError for a name that is not known and for a value of another type.
    """
    hints = get_type_hints(type(config))
    names = known or [f.name for f in fields(config) if f.name != "model_config"]  # type: ignore[arg-type]
    for name in values:
        if name not in names:
            raise ConfigError(f"{where}.{name}: unknown; {where} has {', '.join(names)}")
    changes = {name: _typed(value, hints[name], f"{where}.{name}") for name, value in values.items()}
    return replace(config, **changes)  # type: ignore[type-var]


def assignments(texts: Sequence[str]) -> dict[str, dict[str, str]]:
    """`model.name=value` and `training.name=value` by section and name. Raises ConfigError for others."""
    sections: dict[str, dict[str, str]] = {"model": {}, "training": {}}
    for text in texts:
        target, equals, value = text.partition("=")
        section, dot, name = target.partition(".")
        if not (equals and dot and section in sections):
            raise ConfigError(f"set: got {text!r}, expected model.NAME=VALUE or training.NAME=VALUE")
        sections[section][name] = value
    return sections


def _typed(value: Any, kind: Any, where: str) -> Any:
    """A value as JSON, strictly of its type; text is read as JSON, and else taken as it is."""
    from pydantic import TypeAdapter, ValidationError  # noqa: PLC0415, a run without changes does without

    adapter = TypeAdapter(kind)
    texts = [value] if isinstance(value, str) else []
    reason = ""
    for text in [*texts, json.dumps(value, default=str)]:
        try:
            return adapter.validate_json(text, strict=True)
        except ValidationError as error:
            first = error.errors()[0]
            if not reason and first["type"] != "json_invalid":
                reason = first["msg"]
    raise ConfigError(f"{where}: got {value!r}; {reason[:1].lower()}{reason[1:]}")


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
