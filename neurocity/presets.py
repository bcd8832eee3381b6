"""What configurations share: presets, which are named sets of values, and checks of their fields."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self, get_args, get_origin, get_type_hints

from neurocity.errors import ConfigError

PresetName = Literal["paper", "cpu"]
"""`paper` has the sizes of a family's paper; `cpu` learns in minutes on two cores."""


class Presets:
    """Base of configuration dataclasses; each gives its own `presets`."""

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}

    @classmethod
    def preset(cls, name: PresetName, **changes: Any) -> Self:
        """The named preset with some fields changed. Raises ConfigError for an unknown name."""
        if name not in cls.presets:
            raise ConfigError(f"preset: got {name!r}, expected one of {sorted(cls.presets)}")
        return cls(**{**cls.presets[name], **changes})

    def check_choices(self) -> None:
        """Raises ConfigError for a field whose value is none that its `Literal` type lists."""
        for name, kind in get_type_hints(type(self)).items():
            if get_origin(kind) is Literal and (value := getattr(self, name)) not in get_args(kind):
                raise ConfigError(f"{name}: got {value!r}, expected {' or '.join(get_args(kind))}")

    def check_at_least(self, least: float, *names: str) -> None:
        """Raises ConfigError for a field that is less."""
        for name in names:
            if not (value := getattr(self, name)) >= least:
                raise ConfigError(f"{name}: got {value}, expected at least {least}")

    def check_positive(self, *names: str) -> None:
        """Raises ConfigError for a field that is 0 or less."""
        for name in names:
            if not (value := getattr(self, name)) > 0:
                raise ConfigError(f"{name}: got {value}, expected more than 0")

    def check_within(self, least: float, most: float, *names: str) -> None:
        """Raises ConfigError for a field that is less or more."""
        for name in names:
            if not least <= (value := getattr(self, name)) <= most:
                raise ConfigError(f"{name}: got {value}, expected {least} to {most}")
