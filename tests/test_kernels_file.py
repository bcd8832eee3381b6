"""Files of scenes: mapped, and believed only where the header is true of the bytes."""

import json
import mmap

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from neurocity.contract import RAY_INPUTS
from neurocity.errors import ManifestError
from neurocity.kernels.file import LAYOUT, SCENE_KEY, open_file, scene_data, scene_inputs, scene_record
from neurocity.kernels.scene import SceneData, open_scene

ARRAYS = {
    "records": np.arange(24, dtype=np.float16).reshape(3, 8),
    "children": np.arange(-8, 8, dtype=np.int32).reshape(2, 8),
    "low": np.array([0.1, -0.2, 0.3], np.float32),
    "none": np.zeros((0, 4), np.float32),
    "number": np.array(7, np.uint8),
}
RECORD = scene_record(SceneData("voxels", {}, {"samples": 2, "near": 0.1}), RAY_INPUTS)


@pytest.fixture
def path(tmp_path):
    """A file that the library safetensors has written."""
    save_file(ARRAYS, tmp_path / "model.safetensors", metadata={SCENE_KEY: RECORD})
    return tmp_path / "model.safetensors"


def parts(path):
    """The header of a file, and the bytes behind it."""
    content = path.read_bytes()
    end = 8 + int.from_bytes(content[:8], "little")
    return json.loads(content[8:end]), content[end:]


def write(path, header, rest):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + rest)


def test_what_was_written_is_read(path):
    file = open_file(path)
    assert sorted(file.tensors) == sorted(ARRAYS)
    for name, array in ARRAYS.items():
        assert file.tensors[name].dtype == array.dtype
        assert not file.tensors[name].flags.writeable
        np.testing.assert_array_equal(file.tensors[name], array)
    assert scene_inputs(file) == RAY_INPUTS
    data = scene_data(file)
    assert (data.kind, data.settings) == ("voxels", {"samples": 2, "near": 0.1})


def test_arrays_are_the_files_own_bytes(path):
    base = open_file(path).tensors["records"]
    while isinstance(base, np.ndarray):
        base = base.base
    assert isinstance(base, memoryview)
    assert isinstance(base.obj, mmap.mmap)


def test_the_library_agrees_on_what_is_broken(path):
    """A sanity check of the cases below: what they change is what the format forbids."""
    header, rest = parts(path)
    header["low"]["data_offsets"] = [4, 16]
    write(path, header, rest)
    with pytest.raises(Exception, match=r"(?i)invalid.?offset"), safe_open(path, "numpy"):
        pass


def _entry(**changes):
    def change(header, rest):
        header["low"] |= changes
        return header, rest

    return change


BROKEN = {
    "empty": (lambda _, rest: (b"", rest[:0]), "not valid JSON"),
    "cut off": (lambda header, rest: (header, rest[:-1]), r"to end by \d+"),
    "too long": (lambda header, rest: (header, rest + b"\0"), "its arrays end at"),
    "no text": (lambda _, rest: (b"\xff\xfe", rest), "its header is no text"),
    "no JSON": (lambda _, rest: (b"{", rest), "its header is not valid JSON"),
    "deep": (lambda _, rest: (b"[" * 100_000, rest), "its header is not valid JSON"),
    "a list": (lambda _, rest: (b"[]", rest), "its header is a JSON list"),
    "metadata": (lambda header, rest: (header | {"__metadata__": {"a": 1}}, rest), "no texts"),
    "dtype": (_entry(dtype="F64"), "array 'low': got"),
    "no dtype": (_entry(dtype=["F32"]), "array 'low': got"),
    "shape": (_entry(shape=[4]), r"array 'low': F32 \[4\] at \d+:\d+, expected .* 16 bytes"),
    "negative shape": (_entry(shape=[-1, -3]), "array 'low': got"),
    "huge shape": (_entry(shape=[2**62, 2**62]), "array 'low': F32"),
    "true": (_entry(shape=[True]), "array 'low': got"),
    "overlap": (_entry(data_offsets=[4, 16]), "expected to begin at"),
    "gap": (_entry(data_offsets=[9999, 10011]), "expected to begin at"),
    "backwards": (_entry(data_offsets=[12, 0]), "expected to begin at"),
    "more fields": (_entry(stride=2), "array 'low': got"),
    "no entry": (lambda header, rest: (header | {"low": 3}, rest), "array 'low': got 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_true_of_the_file_is_refused(path, case):
    change, message = BROKEN[case]
    write(path, *change(*parts(path)))
    with pytest.raises(ManifestError, match=rf"model.safetensors: .*{message}.*; export the scene again"):
        open_file(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(ManifestError, match="cannot be read"):
        open_file(tmp_path / "absent")
    (tmp_path / "empty").touch()
    with pytest.raises(ManifestError, match="cannot be read"):
        open_file(tmp_path / "empty")
    (tmp_path / "short").write_bytes(b"\x08")
    with pytest.raises(ManifestError, match="has 1 bytes"):
        open_file(tmp_path / "short")
    (tmp_path / "long").write_bytes(b"\xff" * 20)
    with pytest.raises(ManifestError, match="its header alone would end at"):
        open_file(tmp_path / "long")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"layout": LAYOUT + 1}, r"layout: got 2, this release reads 1"),
        ({"kind": 3}, "got kind 3"),
        ({"settings": []}, r"settings \[\]"),
        ({"settings": {"near": "0"}}, "setting 'near': got '0', expected a finite number"),
        ({"settings": {"near": True}}, "setting 'near'"),
        ({"settings": {"near": float("inf")}}, "setting 'near': got inf"),
        ({"inputs": ["ray_colours"]}, r"inputs: got \['ray_colours'\]"),
    ],
)
def test_a_scene_that_this_release_does_not_read_is_refused(path, changes, message):
    save_file(ARRAYS, path, metadata={SCENE_KEY: json.dumps(json.loads(RECORD) | changes)})
    file = open_file(path)
    with pytest.raises(ManifestError, match=message):
        scene_inputs(file), scene_data(file)


def test_a_file_without_a_scene_and_an_unknown_kind_are_refused(path):
    save_file(ARRAYS, path)
    with pytest.raises(ManifestError, match=f"no '{SCENE_KEY}' in the metadata"):
        scene_data(open_file(path))
    with pytest.raises(ManifestError, match=r"kind of scene: got 'clouds', known: .*voxels"):
        open_scene(SceneData("clouds", {}, {}))
