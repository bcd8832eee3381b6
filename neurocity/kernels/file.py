"""Scenes in files, `model.safetensors`, as docs/native.md says: a header of JSON, and arrays behind it.

A file is mapped into memory, not read: opening takes milliseconds, and processes share its pages. It is not
trusted: what the header says must be true of the file to the byte. (That indices are in range is for the
scene's kernel to say, see `scene.open_scene`.)
"""

import json
import math
import mmap
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from neurocity.contract import TensorSpec, ray_inputs
from neurocity.errors import ManifestError, UnreadableError
from neurocity.kernels.scene import SceneData

SCENE_KEY = "neurocity.scene"
"""Of the header's metadata: JSON with the layout, the kind of scene, its inputs and its settings."""
LAYOUT = 1
"""Of the arrays of all kinds; another one is another number."""
ALIGNMENT = 64
"""Bytes of a line of a processor's cache."""
DTYPES: dict[str, np.dtype[Any]] = {
    "F32": np.dtype("<f4"),
    "F16": np.dtype("<f2"),
    "I8": np.dtype("i1"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
}
"""Names of safetensors -> the types that scenes have."""

_LENGTH_BYTES = 8
_TENSOR_FIELDS = {"dtype", "shape", "data_offsets"}


@dataclass(frozen=True)
class SceneFile:
    """A file that is open.

    metadata: texts by name. tensors: read-only arrays by name, which are the file's own bytes.
    """

    metadata: Mapping[str, str]
    tensors: Mapping[str, np.ndarray]


def open_file(path: Path) -> SceneFile:
    """The file at `path`, mapped.

    Raises UnreadableError when it cannot be read, and ManifestError when it is empty, cut off, or its header
    does not describe it: its arrays have known types and lie end to end from the header to the file's end.
    """
    try:
        with path.open("rb") as file:
            content = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except OSError as error:
        raise UnreadableError(f"{path}: cannot be read ({error}); export the scene again") from None
    except ValueError as error:  # an empty file cannot be mapped
        raise ManifestError(f"{path}: cannot be read ({error}); export the scene again") from None
    try:
        return _parsed(content)
    except ManifestError as error:
        raise ManifestError(f"{path}: {error}; export the scene again") from None


def scene_inputs(file: SceneFile) -> tuple[TensorSpec, ...]:
    """What the scene's rays must have, in the contract's words. Raises ManifestError as `scene_data`."""
    names = _record(file)["inputs"]
    known = {needs_radii: [spec.name for spec in ray_inputs(needs_radii)] for needs_radii in (False, True)}
    for needs_radii, expected in known.items():
        if names == expected:
            return ray_inputs(needs_radii)
    raise ManifestError(f"inputs: got {names!r}, expected {known[False]} or {known[True]}")


def scene_data(file: SceneFile) -> SceneData:
    """What a kernel renders. Raises ManifestError when the file has no scene, or one of another layout."""
    record = _record(file)
    kind, settings = record["kind"], record["settings"]
    if not isinstance(kind, str) or not isinstance(settings, dict):
        raise ManifestError(f"{SCENE_KEY}: got kind {kind!r} and settings {settings!r}")
    for name, value in settings.items():
        if type(value) not in (int, float) or not abs(value) <= sys.float_info.max:
            raise ManifestError(f"setting {name!r}: got {value!r}, expected a finite number")
    return SceneData(kind, file.tensors, settings)


def file_content(data: SceneData, inputs: tuple[TensorSpec, ...], metadata: Mapping[str, str]) -> bytes:
    """The file of a scene whose rays have these inputs, with these texts besides; equal ones are equal bytes.

    Every array begins at a multiple of the largest power of two that divides its bytes, up to `ALIGNMENT`.
    (The library safetensors aligns less, and writes metadata in an order that chance decides.)
    """
    record = {
        "layout": LAYOUT,
        "kind": data.kind,
        "inputs": [spec.name for spec in inputs],
        "settings": dict(data.settings),
    }
    header: dict[str, Any] = {"__metadata__": {**metadata, SCENE_KEY: json.dumps(record, allow_nan=False)}}
    names = {dtype: name for name, dtype in DTYPES.items()}
    end, parts = 0, []
    for name, array in sorted(data.tensors.items(), key=lambda item: (-_alignment(item[1].nbytes), item[0])):
        offsets = [end, end + array.nbytes]
        header[name] = {"dtype": names[array.dtype], "shape": list(array.shape), "data_offsets": offsets}
        parts.append(array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes())
        end += array.nbytes
    text = json.dumps(header, sort_keys=True).encode()
    text += b" " * (-(_LENGTH_BYTES + len(text)) % ALIGNMENT)
    return b"".join([len(text).to_bytes(_LENGTH_BYTES, "little"), text, *parts])


def _alignment(size: int) -> int:
    return min(size & -size, ALIGNMENT) if size else ALIGNMENT


def _record(file: SceneFile) -> dict[str, Any]:
    if SCENE_KEY not in file.metadata:
        raise ManifestError(f"no {SCENE_KEY!r} in the metadata of the header")
    record = _json(file.metadata[SCENE_KEY], SCENE_KEY)
    if record.get("layout") != LAYOUT:
        raise ManifestError(f"layout: got {record.get('layout')!r}, this release reads {LAYOUT}")
    if missing := {"kind", "inputs", "settings"} - record.keys():
        raise ManifestError(f"{SCENE_KEY}: lacks {', '.join(sorted(missing))}")
    return record


def _parsed(content: memoryview) -> SceneFile:
    length = int.from_bytes(content[:_LENGTH_BYTES], "little")
    begin = _LENGTH_BYTES + length
    if begin > len(content):
        raise ManifestError(f"has {len(content)} bytes, its header alone would end at {begin}")
    try:
        text = bytes(content[_LENGTH_BYTES:begin]).decode()
    except UnicodeDecodeError as error:
        raise ManifestError(f"its header is no text ({error})") from None
    header = _json(text, "its header")
    metadata = header.pop("__metadata__", {})
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise ManifestError("its metadata are no texts")
    tensors: dict[str, np.ndarray] = {}
    end = 0
    # An array without numbers ends where the next one begins.
    for name, entry in sorted(header.items(), key=lambda item: _span(*item)):
        dtype, shape, (first, last) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        count = math.prod(shape)
        if first != end or last - first != count * dtype.itemsize or begin + last > len(content):
            raise ManifestError(
                f"array {name!r}: {entry['dtype']} {shape} at {first}:{last}, expected to begin at {end}, to "
                f"have {count * dtype.itemsize} bytes, and to end by {len(content) - begin}"
            )
        try:
            tensors[name] = np.frombuffer(content, dtype, count, begin + first).reshape(shape)
        except ValueError as error:  # numpy has few axes, and none too long for memory
            raise ManifestError(f"array {name!r}: got shape {shape} ({error})") from None
        end = last
    if begin + end != len(content):
        raise ManifestError(f"has {len(content)} bytes, its arrays end at {begin + end}")
    return SceneFile(metadata, tensors)


def _span(name: str, entry: Any) -> tuple[int, int]:
    """Where an array's bytes are, behind the header. Raises ManifestError unless it is described."""
    if isinstance(entry, dict) and entry.keys() == _TENSOR_FIELDS and str(entry["dtype"]) in DTYPES:
        shape, offsets = entry["shape"], entry["data_offsets"]
        lists = isinstance(shape, list) and isinstance(offsets, list) and len(offsets) == 2
        if lists and all(type(number) is int and number >= 0 for number in [*shape, *offsets]):
            return offsets[0], offsets[1]
    raise ManifestError(
        f"array {name!r}: got {entry!r}, expected dtype ({', '.join(DTYPES)}), shape, offsets"
    )


def _json(text: str, what: str) -> dict[str, Any]:
    try:
        data = json.loads(text, object_pairs_hook=_object)
    except (ValueError, RecursionError) as error:
        raise ManifestError(f"{what} is not valid JSON ({error})") from None
    if not isinstance(data, dict):
        raise ManifestError(f"{what} is a JSON {type(data).__name__}, expected an object")
    return data


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object. Raises ValueError where readers would differ on what it says."""
    found: dict[str, Any] = {}
    for name, value in pairs:
        if name in found:
            raise ValueError(f"{name!r} stands twice")
        found[name] = value
    return found
