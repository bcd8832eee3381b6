"""Files of scenes: mapped, and believed only where the header is true of the bytes."""

import json
import mmap

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

from neurocity.contract import RAY_INPUTS
from neurocity.errors import ManifestError, UnreadableError
from neurocity.kernels.file import LAYOUT, SCENE_KEY, file_content, open_file, scene_data, scene_inputs
from neurocity.kernels.scene import SceneData, open_scene

ARRAYS = {
    "records": np.arange(24, dtype=np.float16).reshape(3, 8),
    "children": np.arange(-8, 8, dtype=np.int32).reshape(2, 8),
    "low": np.array([0.1, -0.2, 0.3], np.float32),
    "none": np.zeros((0, 4), np.float32),
    "number": np.array(7, np.uint8),
}
SCENE = SceneData("voxels", ARRAYS, {"samples": 2, "near": 0.1})
RECORD = json.dumps(
    {
        "layout": LAYOUT,
        "kind": SCENE.kind,
        "inputs": [spec.name for spec in RAY_INPUTS],
        "settings": SCENE.settings,
    }
)


@pytest.fixture(params=["library", "own"])
def path(request, tmp_path):
    """A file that the library safetensors has written, and one of our own."""
    path = tmp_path / "model.safetensors"
    if request.param == "library":
        save_file(ARRAYS, path, metadata={SCENE_KEY: RECORD})
    else:
        path.write_bytes(file_content(SCENE, RAY_INPUTS, {"more": "text"}))
    return path


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


def test_the_library_reads_what_is_written(tmp_path):
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_content(SCENE, RAY_INPUTS, {"more": "text"}))
    with safe_open(path, "numpy") as file:
        assert sorted(file.keys()) == sorted(ARRAYS)
        assert file.metadata()["more"] == "text"
        assert json.loads(file.metadata()[SCENE_KEY]) == json.loads(RECORD)
        for name, array in ARRAYS.items():
            np.testing.assert_array_equal(file.get_tensor(name), array)


def test_arrays_are_aligned_as_their_size_allows(tmp_path):
    """Records of 80 bytes begin at a multiple of 16, whatever their number."""
    arrays = {"records": np.zeros((7, 40), np.float16), "low": np.zeros(3, np.float32)}
    arrays |= {"children": np.zeros((3, 8), np.int32), "odd": np.zeros(5, np.uint8)}
    path = tmp_path / "model.safetensors"
    path.write_bytes(file_content(SceneData("voxels", arrays, {}), RAY_INPUTS, {}))
    tensors = open_file(path).tensors
    places = {name: array.ctypes.data for name, array in tensors.items()}
    assert [places["children"] % 32, places["records"] % 16, places["low"] % 4] == [0, 0, 0]
    assert places["children"] % 64 == 0, "the first"


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
    "many axes": (_entry(shape=[3] + [1] * 99), "array 'low': got shape .* ndarray"),
    "more than memory can have": (
        lambda header, rest: (header | {"none": header["none"] | {"shape": [0, 2**70]}}, rest),
        "array 'none': got shape",
    ),
    "twice": (
        lambda header, rest: (json.dumps(header).replace('"none"', '"low"').encode(), rest),
        "its header is not valid JSON .*'low' stands twice",
    ),
    "no entry": (lambda header, rest: (header | {"low": 3}, rest), "array 'low': got 3"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_what_is_not_true_of_the_file_is_refused(path, case):
    change, message = BROKEN[case]
    write(path, *change(*parts(path)))
    with pytest.raises(ManifestError, match=rf"model.safetensors: .*{message}.*; export the scene again"):
        open_file(path)


def test_what_is_no_file_is_refused(tmp_path):
    with pytest.raises(UnreadableError, match="cannot be read"):
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
        ({"settings": {"near": 10**400}}, "setting 'near': got 1000"),
        ({"inputs": ["ray_colours"]}, r"inputs: got \['ray_colours'\]"),
        ({"inputs": [["ray_origins"]]}, r"inputs: got \[\['ray_origins'\]\]"),
        ({"inputs": ["ray_directions", "ray_origins"]}, "inputs: got .*, expected .*'ray_origins', 'ray_dir"),
        ({"inputs": []}, r"inputs: got \[\]"),
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
