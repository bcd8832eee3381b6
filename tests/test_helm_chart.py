"""The chart's documents: a cluster takes them, they fit together, and they start the programs as they are."""

import json
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import jsonschema
import kubernetes_validate
import pytest
import yaml
from dockerfile_parse import DockerfileParser
from helm_chart import (
    CHART,
    NAMESPACE,
    PROFILES,
    check,
    containers,
    environment,
    gateway,
    merged,
    of_kind,
    only,
    pods,
    profile,
    render,
    settings_of,
)
from helm_python.chart import Chart

from serving.cli import read_settings

DEPLOY = CHART.parents[1]
DOCKERFILE = CHART.parents[2] / "Dockerfile"
VERSIONS = [f"1.{minor}.0" for minor in range(30, 38)]
TOO_OLD = {"1.30.0": {"image-volume"}}
"""Profiles that need what a version of Kubernetes has not got."""
OWN_SCHEMAS = [
    ("cpu", "PrometheusRule"),
    ("cpu", "ServiceMonitor"),
    ("gpu", "PodMonitor"),
    ("keda", "ScaledObject"),
    ("gpu-shared", "HTTPRoute"),
]
"""Kinds that Kubernetes does not know by itself, and a profile that has them."""

every_profile = pytest.mark.parametrize("name", PROFILES)


def selects(wanted: dict, labels: dict) -> bool:
    """Whether something with these labels is selected."""
    return wanted.items() <= labels.items()


def selected(selector: dict, labelled: Iterable[dict]) -> list[dict]:
    """Those labels that a selector selects."""
    return [labels for labels in labelled if selects(selector["matchLabels"], labels)]


def names_port(container: dict, name: str) -> bool:
    """Whether a container has a port of that name."""
    return name in {port["name"] for port in container.get("ports", [])}


def port_of(port: dict) -> str:
    """The port of a rule of a NetworkPolicy."""
    return port["port"]


@pytest.mark.parametrize("version", VERSIONS)
def test_documents_are_what_kubernetes_takes(version):
    names = PROFILES.keys() - TOO_OLD.get(version, set())
    different = {json.dumps(document): document for name in names for document in profile(name)}
    for document in different.values():
        check(document, version)


def test_documents_of_another_form_are_found_out():
    (deployment,) = of_kind(render(PROFILES["minimal"]), "Deployment")
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(kubernetes_validate.ValidationError, match="readinesProbe"):
        check(deployment, "1.30.0")
    (image,) = of_kind(profile("image-volume"), "Deployment")
    with pytest.raises(kubernetes_validate.ValidationError, match="image"):
        check(image, "1.30.0")
    (scaler,) = of_kind(profile("cpu"), "HorizontalPodAutoscaler")
    with pytest.raises(kubernetes_validate.SchemaNotFoundError):
        check(scaler | {"apiVersion": "autoscaling/v2beta2"}, "1.30.0")
    for name, kind in OWN_SCHEMAS:
        document = only(profile(name), kind)
        with pytest.raises(jsonschema.ValidationError, match="more"):
            check(document | {"spec": document["spec"] | {"more": 1}}, "1.30.0")


@every_profile
def test_documents_find_each_other(name):
    documents = profile(name)
    assert len({(item["kind"], item["metadata"]["name"]) for item in documents}) == len(documents)
    assert {item["metadata"]["namespace"] for item in documents} == {NAMESPACE}
    labelled = [pod["metadata"]["labels"] for pod in pods(documents)]
    for deployment in of_kind(documents, "Deployment"):
        own = deployment["spec"]["template"]["metadata"]["labels"]
        assert selected(deployment["spec"]["selector"], labelled) == [own]
    for kind, place in (("PodDisruptionBudget", "selector"), ("NetworkPolicy", "podSelector")):
        for document in of_kind(documents, kind):
            assert len(selected(document["spec"][place], labelled)) == 1
    for service in of_kind(documents, "Service"):
        (pod,) = [
            pod for pod in pods(documents) if selects(service["spec"]["selector"], pod["metadata"]["labels"])
        ]
        there = {port["name"] for container in containers(pod) for port in container.get("ports", [])}
        assert {port["targetPort"] for port in service["spec"]["ports"]} <= there
    services = {json.dumps(item["metadata"]["labels"]): item for item in of_kind(documents, "Service")}
    for monitor in of_kind(documents, "ServiceMonitor"):
        (labels,) = selected(monitor["spec"]["selector"], map(json.loads, services))
        (endpoint,) = monitor["spec"]["endpoints"]
        assert endpoint["port"] in {port["name"] for port in services[json.dumps(labels)]["spec"]["ports"]}
    for monitor in of_kind(documents, "PodMonitor"):
        (labels,) = selected(monitor["spec"]["selector"], labelled)
        (pod,) = [pod for pod in pods(documents) if pod["metadata"]["labels"] == labels]
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        (asked,) = [item for item in containers(pod) if names_port(item, endpoint["port"])]
        assert asked["name"] == "triton"
        (policy,) = [
            item
            for item in of_kind(documents, "NetworkPolicy")
            if selects(item["spec"]["podSelector"]["matchLabels"], labels)
        ]
        opened = [
            rule for rule in policy["spec"]["ingress"] if endpoint["port"] in map(port_of, rule["ports"])
        ]
        wanted = PROFILES[name].get("networkPolicy", {}).get("from")
        assert [rule.get("from") for rule in opened] == [wanted]
    targets = {item["metadata"]["name"] for item in of_kind(documents, "Deployment")}
    for scaler in of_kind(documents, "HorizontalPodAutoscaler") + of_kind(documents, "ScaledObject"):
        assert scaler["spec"]["scaleTargetRef"]["name"] in targets
        assert "replicas" not in only(documents, "Deployment")["spec"]


@every_profile
def test_pods_may_do_what_they_need_and_no_more(name):
    for pod in pods(profile(name)):
        spec, ports = pod["spec"], []
        user = spec["securityContext"]
        assert (user["runAsUser"], user["runAsNonRoot"]) == (10001, True)
        assert user["seccompProfile"] == {"type": "RuntimeDefault"}
        # Or NEUROCITY_PORT would be the address of a service of that name.
        assert (spec["automountServiceAccountToken"], spec["enableServiceLinks"]) == (False, False)
        volumes = {volume["name"] for volume in spec["volumes"]}
        mounted = set()
        for container in containers(pod):
            security = container["securityContext"]
            assert security["readOnlyRootFilesystem"]
            assert not security["allowPrivilegeEscalation"]
            assert security["capabilities"] == {"drop": ["ALL"]}
            mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
            assert "/tmp" in mounts
            mounted |= set(mounts.values())
            ports += [port["containerPort"] for port in container.get("ports", [])]
        assert mounted == volumes
        assert len(set(ports)) == len(ports), "containers of a pod share its ports"


def test_users_and_ports_are_those_of_the_images():
    steps = DockerfileParser(str(DOCKERFILE), env_replace=False).structure
    users = {step["value"] for step in steps if step["instruction"] == "USER"}
    exposed = {step["value"] for step in steps if step["instruction"] == "EXPOSE"}
    pod = gateway(profile("minimal"))
    user = pod["spec"]["securityContext"]
    assert users == {f"{user['runAsUser']}:{user['runAsGroup']}"}
    (container,) = pod["spec"]["containers"]
    (port,) = container["ports"]
    assert str(port["containerPort"]) in exposed
    probes = [container[name]["httpGet"] for name in ("startupProbe", "readinessProbe", "livenessProbe")]
    assert [(probe["path"], probe["port"]) for probe in probes] == [
        ("/readyz", port["name"]),
        ("/readyz", port["name"]),
        ("/livez", port["name"]),
    ]


@every_profile
def test_gateways_read_the_settings_that_are_meant(name, monkeypatch):
    """As their process does, from the environment that the pod has."""
    values = PROFILES[name]
    pod = gateway(profile(name))
    (container,) = pod["spec"]["containers"]
    assert "args" not in container
    for setting, text in settings_of(container).items():
        monkeypatch.setenv(f"NEUROCITY_{setting.upper()}", text)
    settings = read_settings([])
    for setting, value in values.get("gateway", {}).get("settings", {}).items():
        assert getattr(settings, setting) == value
    assert (settings.host, settings.port) == ("0.0.0.0", 8000)
    assert settings.root_path == values.get("gateway", {}).get("rootPath")
    mode = values.get("triton", {}).get("mode", "none")
    if mode == "none":
        assert settings.engine == values.get("gateway", {}).get("engine", "auto")
    else:
        hosts = {"sidecar": "127.0.0.1", "deployment": "demo-neurocity-triton"}
        assert (settings.engine, settings.triton_url) == ("triton", f"{hosts[mode]}:8001")
    mounts = {mount["mountPath"] for mount in container["volumeMounts"]}
    for file in (settings.api_key_file, settings.signing_key_file):
        assert file is None or str(file.parent) in mounts
    assert settings.videos is None or str(settings.videos) in mounts


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("minimal", "/models"),
        ("cpu", "/models/scenes"),
        ("image-volume", "/models/model_repository"),
        ("object-storage", "s3://models/city"),
    ],
)
def test_gateways_have_the_repository(name, expected):
    pod = gateway(profile(name))
    (container,) = pod["spec"]["containers"]
    assert environment(container)["NEUROCITY_REPOSITORY"] == expected
    mounts = {mount["mountPath"]: mount for mount in container["volumeMounts"]}
    if expected.startswith("/models"):
        assert mounts["/models"]["readOnly"]
    else:
        assert container["envFrom"] == [{"secretRef": {"name": "bucket-credentials"}}]
        assert environment(container)["NEUROCITY_REPOSITORY_CACHE"] in mounts


def test_blocks_replace_their_scenes_where_the_repository_can():
    for repository, replaces in ({}, True), ({"type": "url", "url": "s3://models/city"}, False):
        values = merged(PROFILES["blocks"], {"repository": repository})
        (job,) = [pod for pod in pods(render(values)) if "neurocity-export" in str(pod)]
        (export,) = job["spec"]["containers"]
        assert ("--force" in export["args"]) == replaces


@every_profile
def test_nobody_is_killed_before_the_end_of_the_drain(name):
    for pod in pods(profile(name)):
        for container in containers(pod):
            before = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
            drain = float(environment(container).get("NEUROCITY_DRAIN_SECONDS", 0))
            (sidecar,) = [
                int(word.partition("=")[2])
                for other in containers(pod)
                for word in other.get("args", [])
                if word.startswith("--exit-timeout-secs=")
            ] or [0]
            assert pod["spec"]["terminationGracePeriodSeconds"] > before + drain + sidecar


def test_a_triton_server_outlives_its_gateway():
    """One before the others that is always started again is a sidecar: first to begin, last to end."""
    pod = gateway(profile("gpu"))
    (triton,) = pod["spec"]["initContainers"]
    assert triton["restartPolicy"] == "Always"
    assert triton["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["spec"]["runtimeClassName"] == "nvidia"
    assert only(profile("gpu"), "Deployment")["spec"]["strategy"]["rollingUpdate"] == {
        "maxSurge": 0,
        "maxUnavailable": 1,
    }


def test_prometheus_and_grafana_get_the_files_that_are_tested(tmp_path):
    rules = only(profile("cpu"), "PrometheusRule")["spec"]
    assert rules == yaml.safe_load((DEPLOY / "prometheus" / "alerts.yaml").read_text())
    data = only(profile("cpu"), "ConfigMap")["data"]
    assert data == {"neurocity.json": (DEPLOY / "grafana" / "neurocity.json").read_text()}
    (endpoint,) = only(profile("cpu"), "ServiceMonitor")["spec"]["endpoints"]
    started, named = endpoint["relabelings"]
    assert started["action"] == "keep"
    assert named == {"action": "replace", "targetLabel": "job", "replacement": "neurocity"}
    promtool = shutil.which("promtool")
    if promtool is None:
        pytest.skip("promtool is not installed (Debian's package prometheus has it)")
    (tmp_path / "alerts.yaml").write_text(yaml.safe_dump(rules))
    shutil.copy(DEPLOY / "prometheus" / "alerts.test.yaml", tmp_path)
    command = [promtool, "test", "rules", tmp_path / "alerts.test.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr + done.stdout


def test_the_packaged_chart_is_the_same(tmp_path):
    """Links to the rules and the dashboard become files of the package."""
    with Chart.load(CHART) as chart:
        package = Path(chart.save(tmp_path))
        here = chart.render(PROFILES["cpu"], name="demo", namespace=NAMESPACE)
    with Chart.load(package) as chart:
        assert chart.render(PROFILES["cpu"], name="demo", namespace=NAMESPACE) == here
