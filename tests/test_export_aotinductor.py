"""AOTInductor packages: what is in them, and machines that cannot run or write them."""

import io
import json
import platform
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from export.formats.registry import get_format
from export.torch_archive.archive import stripped
from neurocity.errors import ManifestError, MissingDependencyError


def test_an_aotinductor_package_holds_its_library_and_metadata_alone(tiny_repository):
    with zipfile.ZipFile(tiny_repository / "tiny_aotinductor" / "1" / "model.pt2") as archive:
        kinds = sorted({Path(name).suffix for name in archive.namelist() if "aotinductor" in name})
    assert kinds == [".json", ".so"]


@pytest.mark.parametrize(
    ("change", "device", "message"),
    [
        ({}, "cuda", r"was compiled for cpu and cannot run on cuda; export again with --device cuda"),
        ({"AOTI_MACHINE": "sparc64"}, "cpu", r"was compiled for a processor sparc64 with .*, this one is"),
        (
            {"AOTI_CPU_ISA": "AVX512"},
            "cpu",
            r"compiled for a processor .* with AVX512, this one is .* with AVX2",
        ),
    ],
)
def test_a_package_for_another_machine_is_refused(tmp_path, monkeypatch, change, device, message):
    target = get_format("aotinductor")
    monkeypatch.setattr("torch.backends.cpu.get_cpu_capability", lambda: "AVX2")
    metadata = {
        "AOTI_DEVICE_KEY": "cpu",
        "AOTI_MACHINE": platform.machine(),
        "AOTI_CPU_ISA": "AVX2",
        **change,
    }
    path = tmp_path / target.file_name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data/aotinductor/model/m.wrapper_metadata.json", json.dumps(metadata))
    with pytest.raises(MissingDependencyError, match=message):
        target.open(path, device)


def test_kernels_of_a_gpu_stay_in_a_package():
    """Its library loads them by their names; without, the first call fails."""
    written = io.BytesIO()
    writer = torch._C.PyTorchFileWriter(written)
    folder = "data/aotinductor/model"
    for name in ("m.wrapper.so", "k.cubin", "m.wrapper.cpp", "m.wrapper_metadata.json"):
        writer.write_record(f"{folder}/{name}", b"1", 1)
    writer.write_end_of_file()
    reader = torch._C.PyTorchFileReader(io.BytesIO(stripped(written.getvalue(), ["/tmp"])))
    kept = {Path(name).name for name in reader.get_all_records() if folder in name}
    assert kept == {"m.wrapper.so", "k.cubin", "m.wrapper_metadata.json"}


def test_a_package_for_another_kind_of_gpu_is_refused(tmp_path, monkeypatch):
    target = get_format("aotinductor")
    monkeypatch.setattr("export.formats.aotinductor.check_device", lambda _: None)
    monkeypatch.setattr("torch.cuda.get_device_capability", lambda: (9, 0))
    metadata = {"AOTI_DEVICE_KEY": "cuda", "AOTI_COMPUTE_CAPABILITY": "86"}
    path = tmp_path / target.file_name
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("m/data/aotinductor/model/m.wrapper_metadata.json", json.dumps(metadata))
    with pytest.raises(MissingDependencyError, match="for GPUs of compute capability 86, this one has 90"):
        target.open(path, "cuda")


def test_without_a_compiler_aotinductor_says_so():
    message = r"no-such-compiler.*; install g\+\+, or name one in .* CXX"
    with (
        torch._inductor.config.patch({"cpp.cxx": ("no-such-compiler",)}),
        pytest.raises(MissingDependencyError, match=message),
    ):
        get_format("aotinductor").encode(nn.Identity(), "{}")


def test_a_file_that_is_no_package_has_no_manifest(tmp_path):
    path = tmp_path / "model.pt2"
    path.write_bytes(b"not an archive")
    with pytest.raises(ManifestError, match="not a package of one AOTInductor model"):
        get_format("aotinductor").read_manifest(path)
