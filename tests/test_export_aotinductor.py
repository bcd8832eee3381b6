"""AOTInductor packages: what is in them, and machines that cannot run or write them."""

import json
import platform
import zipfile
from pathlib import Path

import pytest
import torch
from torch import nn

from export.formats.registry import get_format
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
