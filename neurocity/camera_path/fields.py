"""Objects of a JSON file whose values are checked as they are read; errors name the place in the file."""

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeGuard

import numpy as np
import numpy.typing as npt

from neurocity.errors import CameraError, DataError

Array = npt.NDArray[np.float64]

MAX_COORDINATE = 1e9
"""Of numbers in files, as of requests to the gateway, so that float32 rays stay finite."""

_SHOWN = 60
"""Characters of a wrong value that an error repeats."""


@dataclass(frozen=True)
class Record:
    """A JSON object.

    place: where it stands in the file, `camera_path[3]`; empty for the file itself.
    """

    values: Mapping[str, Any]
    place: str = ""

    def __contains__(self, key: str) -> bool:
        return self.values.get(key) is not None

    def name(self, key: str) -> str:
        """How errors name a value of it: `camera_path[3].fov`."""
        return f"{self.place}.{key}" if self.place else key

    def wrong(self, key: str, expected: str) -> DataError:
        """The error of a value that is not what is expected."""
        value = self.values.get(key)
        if key not in self.values:
            return DataError(f"{self.name(key)}: is missing, expected {expected}")
        return DataError(f"{self.name(key)}: got {shown(value)}, expected {expected}")

    def require_known(self, known: Collection[str]) -> None:
        """Raises DataError on a key that is not among these."""
        if unknown := [key for key in self.values if key not in known]:
            raise DataError(f"{self.name(unknown[0])}: is not known, known: {', '.join(known)}")

    def number(self, key: str) -> float:
        """A finite number, of at most `MAX_COORDINATE`."""
        value = self.values.get(key)
        if not _is_number(value):
            raise self.wrong(key, "a finite number")
        return float(value)

    def positive(self, key: str, most: float) -> float:
        """A number greater than 0 and at most `most`."""
        value = self.values.get(key)
        if not _is_number(value) or not 0.0 < value <= most:
            raise self.wrong(key, f"a number greater than 0 and at most {most:g}")
        return float(value)

    def whole(self, key: str) -> int:
        """A whole number of at least 1."""
        value = self.values.get(key)
        if not _is_number(value) or value < 1 or value != int(value):
            raise self.wrong(key, "a whole number of at least 1")
        return int(value)

    def fov(self, key: str) -> float:
        """A field of view in degrees."""
        value = self.values.get(key)
        if not _is_number(value) or not 0.0 < value < 180.0:
            raise self.wrong(key, "degrees between 0 and 180")
        return float(value)

    def truth(self, key: str) -> bool:
        """True or false; false where it is missing or null."""
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            raise self.wrong(key, "true or false")
        return bool(value)

    def numbers(self, key: str, shape: tuple[int, ...]) -> Array:
        """Lists of finite numbers as an array of that shape."""
        found = array_of(self.values.get(key), shape)
        if found is None:
            raise self.wrong(key, f"{' x '.join(map(str, shape))} finite numbers")
        return found

    def record(self, key: str) -> "Record":
        """The object at that key."""
        value = self.values.get(key)
        if not isinstance(value, dict):
            raise self.wrong(key, "an object")
        return Record(value, self.name(key))

    def records(self, key: str, least: int = 1) -> list["Record"]:
        """The objects of a list with `least` or more of them."""
        values = self.values.get(key)
        if not isinstance(values, list):
            raise self.wrong(key, "a list of objects")
        if len(values) < least:
            raise DataError(f"{self.name(key)}: has {len(values)} entries, expected at least {least}")
        for i, value in enumerate(values):
            if not isinstance(value, dict):
                raise DataError(f"{self.name(key)}[{i}]: got {shown(value)}, expected an object")
        return [Record(value, f"{self.name(key)}[{i}]") for i, value in enumerate(values)]


@contextmanager
def naming(place: str) -> Iterator[None]:
    """Say where in the file a camera is that is not usable. Raises CameraError, and DataError, again."""
    try:
        yield
    except CameraError as error:
        raise CameraError(f"{place}: {error}", error.field) from None
    except DataError as error:
        raise DataError(f"{place}: {error}") from None


def array_of(value: Any, shape: tuple[int, ...]) -> Array | None:
    """Nested lists of numbers as an array of that shape; None when they are something else."""
    if not _has_shape(value, shape):
        return None
    return np.array(value, dtype=np.float64)


def shown(value: Any) -> str:
    """A value in an error, cut off where it is long."""
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."


def _has_shape(value: Any, shape: tuple[int, ...]) -> bool:
    if not shape:
        return _is_number(value)
    return (
        isinstance(value, list)
        and len(value) == shape[0]
        and all(_has_shape(item, shape[1:]) for item in value)
    )


def _is_number(value: Any) -> TypeGuard[float]:
    # Neither infinity nor what is not a number is at most anything.
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= MAX_COORDINATE
