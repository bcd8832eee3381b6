"""`python -m benchmarks.gpu`: all of it small and on the CPU, and what becomes of stages that go wrong."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks.gpu import tables
from benchmarks.gpu.command import Check
from benchmarks.gpu.plan import KERNELS, stages
from benchmarks.gpu.process import run_stage
from benchmarks.gpu.settings import FORMATS, Arguments, Stage
from neurocity.families import FAMILIES

REPOSITORY = Path(__file__).parents[1]

# What no image for PyTorch has.
ABSENT = (
    "cachetools",
    "embreex",
    "fastapi",
    "prometheus_client",
    "pycolmap",
    "pydantic_settings",
    "safetensors",
    "serving",
    "starlette",
    "trimesh",
    "tritonclient",
    "uvicorn",
    "websockets",
)


def blocking(*absent: str) -> str:
    """A `sitecustomize.py` with which these packages are not there."""
    return f"""
import sys

class Absent:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {absent}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Absent())
"""


def environment_of(code: str, folder: Path) -> dict[str, str]:
    """In which processes begin with the code."""
    (folder / "sitecustomize.py").write_text(code)
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(folder), str(REPOSITORY)])}


def test_the_full_check_does_without_pydantic_too(tmp_path: Path) -> None:
    """With --quick it changes models, and values are checked by pydantic."""
    modules = ("training", "frames", "artefacts")
    code = "".join(f"import benchmarks.gpu.{name}\n" for name in modules)
    environment = environment_of(blocking(*ABSENT, "pydantic"), tmp_path)
    code += "from export.formats.registry import get_format\n"
    code += "".join(f"get_format({name!r})\n" for name in FORMATS)
    subprocess.run([sys.executable, "-c", code], env=environment, check=True)


@pytest.mark.nightly
@pytest.mark.slow
def test_the_check_runs_on_the_cpu_without_the_gateways_packages(sphere: Path, tmp_path: Path) -> None:
    environment = environment_of(blocking(*ABSENT), tmp_path)
    words = ["--device", "cpu", "--quick", "--data", str(sphere), "--out", str(tmp_path / "out")]
    words += ["--families", "svraster", "mip_nerf", "--formats", "torchscript", "onnx", "tensorrt"]
    words += ["--minutes", "30", "--beside", "1"]
    run = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    table = (tmp_path / "out" / "table.md").read_text()
    assert run.returncode == 0, run.stdout + run.stderr
    assert run.stdout.endswith(f"\n{table}\n")
    records = [json.loads(line) for line in (tmp_path / "out" / "results.jsonl").read_text().splitlines()]
    by_name = {record["stage"]: record for record in records}
    assert {record["status"] for record in records} == {"done", "absent"}
    absent = [name for name, record in by_name.items() if record["status"] == "absent"]
    assert absent == ["run svraster tensorrt"]
    assert by_name["write svraster tensorrt"]["by"] == "tensorrt-rtx"
    assert by_name["train svraster"]["steps"] > 0
    for name in ("eager svraster", "eager mip_nerf", "run svraster torchscript", "run mip_nerf onnx"):
        record = by_name[name]
        assert record["equal"]
        assert record["psnr_db"] > 60.0
        assert all(rate > 0.0 for rate in record["frames_per_second"].values())
    assert [row["kernel"] for row in by_name["kernels svraster"]["kernels"]] == ["walk"]
    assert by_name["kernels svraster"]["equal"]
    assert "| svraster | walk |" in table
    rows = [line.split(" | ")[:2] for line in table.splitlines() if line.startswith(("| svr", "| mip"))]
    assert [row[1] for row in rows[2:]] == ["eager", "eager", "torchscript", "onnx", "walk"]
    assert "- run svraster tensorrt: absent: an engine runs on GPUs only; it was built and not run" in table


def test_all_stages_of_the_full_check(tmp_path: Path) -> None:
    plan = stages(Arguments(out=tmp_path), tmp_path)
    names = [stage.name for stage in plan]
    assert len(set(names)) == len(names) == 1 + 2 * len(FAMILIES) * (1 + len(FORMATS)) + 2 * len(KERNELS)
    assert set(KERNELS) < set(FAMILIES)
    for place, stage in enumerate(plan):
        assert set(stage.after) <= set(names[:place])
    made = stages(Arguments(out=tmp_path), tmp_path / "absent")
    assert [stage.name for stage in made if "data" in stage.after] == [f"train {name}" for name in FAMILIES]


@pytest.mark.parametrize(
    ("task", "seconds", "status", "reason"),
    [
        ("environment", 0.05, "out of time", "ended after 0 s"),
        ("nonsense", 300.0, "failed", "ValueError: no task 'nonsense'"),
        ("environment", 300.0, "absent", "device cuda: torch finds no CUDA device here; use --device cpu"),
    ],
)
def test_a_stage_that_goes_wrong(
    task: str, seconds: float, status: str, reason: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    stage = Stage(name="one", task=task, seconds=seconds, values={"device": "cuda"})
    record = run_stage(stage, tmp_path, seconds)
    assert (record["status"], record["reason"]) == (status, reason)
    assert (tmp_path / "logs" / "one.txt").is_file()


def test_what_comes_too_late_is_left_out_and_told(tmp_path: Path) -> None:
    check = Check(Arguments(out=tmp_path / "out", data=tmp_path, minutes=0.0, families=("svraster",)))
    for record in check.records():
        check.keep(record)
    assert {record["status"] for record in check.found.values()} == {"not run"}
    text = (tmp_path / "out" / "table.md").read_text()
    assert text.count("not run: 0 minutes are over") == text.count("\n- ") > 0
    assert "- environment: not run: 0 minutes are over" in text
    assert "without" not in text  # what follows from another stage is no news
    assert len((tmp_path / "out" / "results.jsonl").read_text().splitlines()) == len(check.found)


def test_an_artefact_that_is_not_equal_is_in_the_table_and_told() -> None:
    record: dict[str, Any] = {
        "stage": "run svraster onnx",
        "task": "run",
        "family": "svraster",
        "format": "onnx",
        "status": "done",
        "seconds": 3.0,
        "psnr_db": 41.0,
        "rgb_error": 0.1,
        "opacity_error": 0.0,
        "equal": False,
        "reason": "view 0: psnr_db: got 41, expected at least 60",
        "frames_per_second": {"8x8": 2.0},
        "rays_per_call": 512,
        "memory_mib": 0.0,
    }
    written = {
        "stage": "write svraster onnx",
        "task": "write",
        "status": "done",
        "written_in": 2.0,
        "mib": 1.5,
    }
    text = tables.document([written, record], ["8x8"], "sentence")
    assert "| svraster | onnx | 2.0 | 1.5 | 41 | 1.0e-01 | 0.0e+00 | NO | 2.00 | 512 |  |" in text
    assert "- run svraster onnx: not equal: view 0: psnr_db: got 41, expected at least 60" in text
