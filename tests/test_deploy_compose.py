"""deploy/compose.yaml: it is a compose file, its parts fit, and what it starts works together."""

import io
import os
import subprocess
import sys
from pathlib import Path

import httpx
import numpy as np
import pytest
import triton_server
import voxel_scene
import yaml
from compose_services import FILE, Mapped, compose_file, image, volumes
from compose_spec import parse_duration
from prometheus_server import needs, prometheus, started
from waiting import wait_for

from serving.cli import read_settings

TEXT = FILE.read_text()
CONTENT = compose_file(TEXT)
SERVICES = CONTENT["services"]
GATEWAYS = ("gateway", "gateway-gpu")


def test_what_is_started():
    profiles = {name: service.get("profiles", []) for name, service in SERVICES.items()}
    assert profiles == {
        "gateway": [],
        "gateway-gpu": ["gpu"],
        "triton": ["gpu"],
        "prometheus": ["observe"],
        "grafana": ["observe"],
    }


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        ("stop_grace_period: 30s", "stop_grace_period: soon"),
        ("mem_limit:", "memory_limit:"),
        (":-127.0.0.1:8000}:8000", ":-127.0.0.1:8000}:http"),
    ],
)
def test_what_is_no_compose_file_is_found(right, wrong):
    assert right in TEXT
    with pytest.raises(ValueError, match=r".+"):
        compose_file(TEXT.replace(right, wrong))


@pytest.mark.parametrize("name", GATEWAYS)
def test_what_was_accepted_is_answered_before_the_end(name):
    settings = read_settings(SERVICES[name]["command"])
    assert parse_duration(SERVICES[name]["stop_grace_period"]) >= settings.drain_seconds + 5
    # No setting of gateway.env makes it longer.
    assert "--drain-seconds" in SERVICES[name]["command"]


def test_which_engine_renders():
    engines = [read_settings(SERVICES[name]["command"]).engine for name in GATEWAYS]
    assert engines == ["native", "triton"]
    assert SERVICES["gateway-gpu"]["depends_on"] == {"triton": {"condition": "service_healthy"}}
    (device,) = SERVICES["triton"]["deploy"]["resources"]["reservations"]["devices"]
    assert device == {"driver": "nvidia", "count": 1, "capabilities": ["gpu"]}


@pytest.mark.parametrize("name", SERVICES)
def test_containers_may_do_little(name):
    service = SERVICES[name]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["mem_limit"]
    assert service.get("read_only") or name == "grafana"
    for port in service.get("ports", []):  # to this machine alone, unless somebody says otherwise
        assert port.startswith("127.0.0.1:")
    for volume in service.get("volumes", []):
        if isinstance(volume, dict):
            assert volume["read_only"]
        elif volume.startswith("."):
            assert volume.endswith(":ro")


def test_who_starts_them_may_choose():
    variables = {"GATEWAY_ADDRESS": "0.0.0.0:80", "GATEWAY_MEMORY": "1g", "MODEL_REPOSITORY": "/srv/models"}
    chosen = compose_file(TEXT, **variables)["services"]
    assert chosen["gateway"]["ports"] == ["0.0.0.0:80:8000"]
    assert chosen["gateway"]["mem_limit"] == "1gb"
    assert dict(volumes(chosen["gateway"])) == dict(volumes(chosen["triton"])) == {"/models": "/srv/models"}


def test_images_and_files_are_there():
    for service in SERVICES.values():
        if "build" in service:
            assert service["build"]["context"] == ".."
            assert image(service["build"]["target"]).entry_point
            assert service["pull_policy"] == "build"  # nobody else's image of that name
        for _, source in volumes(service):
            if source.startswith("./"):
                assert (FILE.parent / source).exists()
            else:
                assert source in CONTENT["volumes"] or source == "../model_repository"
    served = image("serve")
    assert served.environment["NEUROCITY_REPOSITORY"] in dict(volumes(SERVICES["gateway"]))
    for name in GATEWAYS:
        (port,) = SERVICES[name]["ports"]
        assert port.endswith(f":{served.environment['NEUROCITY_PORT']}")
        _, *health = SERVICES[name]["healthcheck"]["test"]
        assert health[: len(served.entry_point)] == served.entry_point


def test_prometheus_reads_what_is_started():
    folder = FILE.parent / "prometheus"
    plain, ours = (
        yaml.safe_load((folder / name).read_text()) for name in ("prometheus.yaml", "compose.yaml")
    )
    assert {key: value for key, value in ours.items() if key != "scrape_configs"} == {
        key: value for key, value in plain.items() if key != "scrape_configs"
    }
    gateways, triton = ours["scrape_configs"]
    assert gateways["job_name"] == plain["scrape_configs"][0]["job_name"]
    assert gateways["static_configs"] == [{"targets": ["gateway:8000"]}]
    looked_up = [*gateways["dns_sd_configs"], *triton["dns_sd_configs"]]
    places = {(name, found["port"], found["type"]) for found in looked_up for name in found["names"]}
    assert places == {("gateway-gpu", 8000, "A"), ("triton", 8002, "A")}
    for name, _, _ in places:  # without its profile it has no name, and is not missed
        assert SERVICES[name]["profiles"] == ["gpu"]


def test_grafana_finds_prometheus_and_the_dashboard():
    provisioning = FILE.parent / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yaml").read_text())["datasources"]
    (port,) = SERVICES["prometheus"]["ports"]
    assert source["url"] == f"http://prometheus:{port.rpartition(':')[2]}"
    assert (source["type"], source["isDefault"]) == ("prometheus", True)
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "neurocity.yaml").read_text())["providers"]
    mounted = dict(volumes(SERVICES["grafana"]))
    dashboard = f"{provider['options']['path']}/neurocity.json"
    assert mounted[dashboard] == "./grafana/neurocity.json"
    assert SERVICES["grafana"]["environment"]["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"] == dashboard


@pytest.fixture
def mapped(tmp_path):
    """The services over a small scene, with a Triton server that runs on processors."""
    needs("prometheus")
    repository = voxel_scene.write_repository(tmp_path / "models")
    with triton_server.triton_server(repository) as triton:
        addresses = {"triton:8001": triton.grpc_url, "triton:8002": triton.metrics_url}
        yield Mapped(tmp_path, addresses, MODEL_REPOSITORY=str(repository))


def gateway(mapped, name):
    """The process of a gateway, to be entered."""
    (program,) = image(mapped.services[name]["build"]["target"]).entry_point
    environment = os.environ | mapped.environment(name)
    return started(Path(sys.executable).with_name(program), *mapped.words(name), env=environment)


def healthy(mapped, name):
    """Whether the health check of a gateway's container passes."""
    kind, program, *words = mapped.services[name]["healthcheck"]["test"]
    assert kind == "CMD"
    command = [Path(sys.executable).with_name(program), *words]
    environment = os.environ | mapped.environment(name)
    return subprocess.run(command, env=environment, capture_output=True, check=False).returncode == 0


def view(mapped, name):
    """A picture of the scene from a gateway."""
    link = f"/v1/scenes/{voxel_scene.SCENE}/render.npy?eye=3,-2.5,2&target=0,0,0&width=24&height=16"
    answer = httpx.get(f"http://{mapped.address(f'{name}:8000')}{link}", timeout=60)
    assert answer.status_code == 200, answer.text
    return np.load(io.BytesIO(answer.content))


@pytest.mark.slow
def test_it_renders_is_watched_and_is_missed(mapped):
    """The commands as processes; for Triton on a GPU stands the wheel's server on processors."""
    places = ("gateway:8000", "gateway-gpu:8000", "triton:8002")
    ours, other, triton = map(mapped.address, places)
    with (
        gateway(mapped, "gateway") as native,
        gateway(mapped, "gateway-gpu"),
        prometheus(mapped.words("prometheus")) as watching,
    ):
        wait_for(lambda: watching.up() == {ours: "1", other: "1", triton: "1"})
        np.testing.assert_allclose(view(mapped, "gateway"), view(mapped, "gateway-gpu"), atol=1e-5)
        assert healthy(mapped, "gateway")
        wait_for(lambda: not watching.firing())
        native.kill()
        wait_for(watching.firing)
        assert watching.firing() == {("NeuroCityDown", ours)}
        assert not healthy(mapped, "gateway")
        assert healthy(mapped, "gateway-gpu")
