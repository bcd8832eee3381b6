"""Configurations with presets: named sets of values that differ from a configuration's defaults."""

from collections.abc import Mapping
from typing import Any, ClassVar, Literal, Self

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
