"""What the Dockerfile says. Its images are built and run in test_images.py."""

import subprocess
import sys
from pathlib import Path

from dockerfile_parse import DockerfileParser

DOCKERFILE = Path(__file__).parents[1] / "Dockerfile"
GATEWAYS = ("serve", "serve-torch")
PROGRAMS = ("train", "train-cuda", "export", "export-cuda")


def read_stages() -> dict[str, dict[str, list[str]]]:
    """Stage -> instruction -> its values, those of the stages before it that it is made from included."""
    stages: dict[str, dict[str, list[str]]] = {}
    for line in DockerfileParser(str(DOCKERFILE), env_replace=False).structure:
        instruction, value = line["instruction"], line["value"]
        if instruction == "FROM":
            base, _, name = value.partition(" AS ")
            stages[name] = {key: list(values) for key, values in stages.get(base, {}).items()}
        elif stages:
            stages[name].setdefault(instruction, []).append(value)
    return stages


def test_images_run_without_root_and_say_where_they_listen():
    stages = read_stages()
    for name in (*GATEWAYS, *PROGRAMS, "triton"):
        assert int(stages[name]["USER"][-1].split(":")[0]) > 0
    for name in GATEWAYS:
        assert stages[name]["EXPOSE"] == ["8000"]
        assert "NEUROCITY_PORT=8000" in stages[name]["ENV"][-1]
    assert list(stages)[-1] == "serve", "a plain docker build makes the gateway"


def test_health_checks_and_entry_points_need_no_shell():
    stages = read_stages()
    for name in GATEWAYS:
        assert stages[name]["HEALTHCHECK"][-1].endswith('CMD ["neurocity-serve", "health"]')
    for name in (*GATEWAYS, *PROGRAMS, "triton"):
        assert stages[name]["ENTRYPOINT"][-1].startswith("[")


def test_hadolint_finds_nothing(tmp_path):
    def complaints(file: Path) -> str:
        program = Path(sys.executable).with_name("hadolint")
        return subprocess.run([program, file], capture_output=True, text=True, check=False).stdout

    assert complaints(DOCKERFILE) == ""
    (tmp_path / "Dockerfile").write_text(DOCKERFILE.read_text().replace("USER 10001:10001", "USER root"))
    assert "DL3002" in complaints(tmp_path / "Dockerfile")
