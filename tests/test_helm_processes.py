"""What the chart's pods would run is run here: a block is trained and exported, and a gateway serves it."""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import analytic_scene
import httpx
import pytest
import triton_server
from helm_chart import PROFILES, containers, environment, gateway, merged, of_kind, only, profile, render
from waiting import PATIENCE

from deploy.ports import free_port
from neurocity.city.manifest import write_city
from neurocity.city_training.job import run_folder
from neurocity.city_training.record import read_record
from neurocity.cli import main
from serving.tritonserver.installation import find_installation

BIN = Path(sys.executable).parent


def here(text: str, places: dict[str, Path], variables: dict[str, str]) -> str:
    """An argument or a value as a container of this machine would get it.

    places: the paths of volumes in the container -> where they are. variables: what $(NAME) stands for.
    """
    for name, value in variables.items():
        text = text.replace(f"$({name})", value)
    option, equals, value = text.rpartition("=")
    for inside, place in places.items():
        if value == inside or value.startswith(f"{inside}/"):
            return f"{option}{equals}{place}{value.removeprefix(inside)}"
    return text


@pytest.mark.slow
def test_a_block_is_trained_exported_and_served(sphere, tmp_path):
    blocks = {
        "preset": "cpu",
        "set": ["training.rays_per_batch=1024", "training.steps_per_epoch=10"],
        "list": [
            {"data": {"path": "/data"}, "run": {"max_steps": 1000000}},
            {"data": {"path": "/data", "bounds": [-1, -1, -1, 1, 1, 1]}, "run": {"max_steps": 20}},
        ],
    }
    documents = render(merged(PROFILES["blocks"], {"blocks": blocks}))
    job = only(documents, "Job")
    assert job["spec"]["completions"] == 2
    (files,) = of_kind(documents, "ConfigMap")
    content = json.loads(files["data"]["1"])
    assert json.loads(files["data"]["0"])["run"] == {"max_steps": 1000000}
    content["data"]["path"] = str(sphere)
    (tmp_path / "block.yaml").write_text(json.dumps(content))
    places = {
        "/etc/neurocity/block.yaml": tmp_path / "block.yaml",
        "/runs": tmp_path / "runs",
        "/models": tmp_path / "models",
    }
    for container in containers(job["spec"]["template"]):
        program, *arguments = [*container["command"], *container["args"]]
        variables = {"BLOCK": "1", "POD": "demo-blocks-1-x"}
        words = [BIN / program, *(here(word, places, variables) for word in arguments)]
        done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    (scene,) = (tmp_path / "models").iterdir()
    assert scene.name == "city-1_native"

    (container,) = gateway(documents)["spec"]["containers"]
    port = free_port()
    given = {name: here(value, places, {}) for name, value in environment(container).items()}
    given |= {"NEUROCITY_PORT": str(port), "NEUROCITY_HOST": "127.0.0.1"}
    process = subprocess.Popen([BIN / "neurocity-serve"], env=os.environ | given, cwd=tmp_path)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=PATIENCE) as client:
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                wait_until_it_answers(client, container[name]["httpGet"]["path"])
            link = "/v1/scenes/city-1/render.png?eye=3,-3,2&target=0,0,0&width=40&height=30"
            assert client.get(link).status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()


def test_the_parts_of_a_plan_are_trained_by_their_number(planned_town, city_photographs, tmp_path, capsys):
    parts = ["coarse", *(block.id for block in planned_town.blocks)]
    write_city(tmp_path / "town", planned_town)
    plan = {"folder": "/city/town", "parts": len(parts), "args": ["--steps=1", f"--data={city_photographs}"]}
    documents = render(merged(PROFILES["city"], {"blocks": {"plan": plan}}))
    job = only(documents, "Job")
    assert job["spec"]["completions"] == len(parts)
    assert of_kind(documents, "ConfigMap") == []
    (container,) = containers(job["spec"]["template"])
    assert {"name": "city", "mountPath": "/city"} in container["volumeMounts"]
    assert container["command"] == ["neurocity"]
    for number, code in ((0, 0), (len(parts), 2)):
        words = [
            str(tmp_path / "town") if word == "/city/town" else word.replace("$(BLOCK)", str(number))
            for word in container["args"]
        ]
        assert main(words) == code
    assert f"index: got {len(parts)}, expected 0 to {len(parts) - 1}" in capsys.readouterr().err
    assert read_record(run_folder(tmp_path / "town", "coarse")).state == "trained"


@pytest.mark.slow
def test_a_triton_server_takes_its_arguments_and_leaves_out_what_is_broken(tmp_path):
    triton_server.require_triton()
    models = tmp_path / "models"
    analytic_scene.write_repository(models, "onnx")
    triton_server.write_configs(models)
    (whole,) = models.iterdir()
    broken = models / "broken_onnx"
    shutil.copytree(whole, broken)
    (artefact,) = broken.rglob("*.onnx")
    artefact.write_bytes(b"")
    config = broken / "config.pbtxt"
    config.write_text(config.read_text().replace(whole.name, broken.name))

    (container,) = gateway(profile("gpu"))["spec"]["initContainers"]
    ports = {f"--{name}-port={port}": free_port() for name, port in (("grpc", 8001), ("metrics", 8002))}
    ports["--http-port=8003"] = http = free_port()
    arguments = [here(word, {"/models": models}, {}) for word in container["args"]]
    assert ports.keys() <= set(arguments)
    arguments = [f"{word.partition('=')[0]}={ports[word]}" if word in ports else word for word in arguments]
    installation = find_installation()
    arguments.append(f"--backend-directory={installation.assemble_backends(tmp_path / 'backends')}")
    process = subprocess.Popen(
        [installation.binary, *arguments],
        env=installation.environment() | {"CUDA_VISIBLE_DEVICES": ""},
        cwd=tmp_path,
        start_new_session=True,
    )
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{http}", timeout=PATIENCE) as client:
            for name in ("startupProbe", "readinessProbe", "livenessProbe"):
                wait_until_it_answers(client, container[name]["httpGet"]["path"])
            assert client.get(f"/v2/models/{whole.name}/ready").status_code == 200
            assert client.get(f"/v2/models/{broken.name}/ready").status_code != 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def wait_until_it_answers(client: httpx.Client, path: str) -> None:
    """Return when that path is answered with 200; fails after a minute."""
    deadline = time.monotonic() + PATIENCE
    while True:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        assert time.monotonic() < deadline, path
        time.sleep(0.1)
