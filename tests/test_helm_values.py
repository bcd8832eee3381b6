"""The chart's values: what is wrong is refused, and their schema knows what the project knows."""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

import pytest
import yaml
from helm_chart import CHART, PROFILES, SCHEMA, gateway, merged, only, render
from helm_python.chart import Chart, lint
from helm_python.errors import HelmRenderError, HelmValuesError

from export.formats.registry import format_names
from neurocity.families import FAMILIES
from neurocity.training.options import DataOptions
from neurocity.training.run_config import RUN_FIELDS
from serving.settings import Settings

VALUES = yaml.safe_load((CHART / "values.yaml").read_text())
GIVEN = {"repository": {"claimName": "models"}}
OF_THE_CHART = {
    "api_key_file",
    "api_keys",
    "drain_seconds",
    "engine",
    "port",
    "repository",
    "repository_cache",
    "repository_cache_bytes",
    "root_path",
    "signing_key_file",
    "triton_url",
    "videos",
}
"""Settings that other values make."""


def property_of(*path: str) -> dict[str, Any]:
    """The schema of a value."""
    found = SCHEMA
    for name in path:
        found = found["properties"][name]
    return found


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"gatewy": {}}, "'gatewy' not allowed"),
        ({"gateway": {"replica": 3}}, "'replica' not allowed"),
        ({"gateway": {"replicas": "3"}}, "/gateway/replicas"),
        ({"gateway": {"settings": {"max_pixel": 1}}}, "'max_pixel' not allowed"),
        ({"gateway": {"settings": {"max_pixels": 0}}}, "/gateway/settings/max_pixels"),
        ({"gateway": {"settings": {"drain_seconds": 5}}}, "'drain_seconds' not allowed"),
        ({"gateway": {"extraEnv": [{"name": "NEUROCITY_PORT", "value": "1"}]}}, "/gateway/extraEnv/0/name"),
        ({"gateway": {"resources": {"limits": {"memory": "4 GB"}}}}, "/gateway/resources/limits/memory"),
        ({"gateway": {"placement": {"toleration": []}}}, "'toleration' not allowed"),
        ({"gateway": {"engine": "triton"}}, "/gateway/engine"),
        ({"gateway": {"image": {"digest": "latest"}}}, "/gateway/image/digest"),
        ({"preStopSeconds": 0}, "/preStopSeconds"),
        ({"repository": {"claimName": ""}}, "/repository/claimName"),
        ({"repository": {"type": "url", "url": "models"}}, "/repository/url"),
        ({"repository": {"type": "image"}}, "/repository/image/reference"),
        ({"autoscaling": {"kind": "keda"}}, "/autoscaling/keda/prometheus"),
        ({"metrics": {"podMonitor": {"interval": "15"}}}, "/metrics/podMonitor/interval"),
        ({"ingress": {"enabled": True}}, "/ingress/host"),
        ({"httpRoute": {"enabled": True}}, "/httpRoute/parentRefs"),
        ({"blocks": {"enabled": True}}, "/blocks/dataClaim"),
        ({"blocks": {"plan": {"claim": "cities", "parts": 5}}}, "/blocks/plan/folder"),
        ({"blocks": PROFILES["blocks"]["blocks"] | {"dataClaim": ""}}, "/blocks/dataClaim"),
        ({"blocks": {"list": [{"data": {"path": "/city"}}]}}, "/blocks/list/0/data/path"),
    ],
)
def test_mistyped_values_are_refused(wrong, said):
    with pytest.raises(HelmValuesError, match=said):
        render(merged(GIVEN, wrong))


CONTRADICTIONS = [
    ({"terminationGracePeriodSeconds": 30}, "got 30, expected more than the 30 s"),
    ({"terminationGracePeriodSeconds": 40, "triton": {"mode": "sidecar"}}, "expected more than the 40 s"),
    ({"autoscaling": {"kind": "hpa", "min": 3, "max": 2}}, "min 3 and max 2"),
    ({"videos": {"enabled": True}}, "films lie on the disk of one process"),
    ({"gateway": {"engine": "native"}, "triton": {"mode": "sidecar"}}, "gateway.engine: got native"),
    ({"triton": {"mode": "sidecar"}, "repository": {"type": "url", "url": "s3://a/b"}}, "reads a folder"),
    ({"repository": {"type": "url", "url": "s3://a/b", "path": "c"}}, "beside a url"),
    (
        {
            "repository": {"type": "image", "image": {"reference": "scenes:1"}},
            "blocks": PROFILES["blocks"]["blocks"],
        },
        "writes scenes into the repository",
    ),
    ({"blocks": {"enabled": True, "dataClaim": "captures"}}, "neither a list nor plan.claim"),
    (merged(PROFILES["city"], {"blocks": {"list": [{"data": {"path": "/data"}}]}}), "a list beside plan"),
    (
        {"keys": {"secret": "keys"}, "metrics": {"serviceMonitor": {"enabled": True}}},
        "the secret of an operator's key",
    ),
    ({"metrics": {"podMonitor": {"enabled": True}}}, "there is no Triton server to ask"),
    (
        {"gateway": {"rootPath": "/city"}, "ingress": {"enabled": True, "host": "example.org"}},
        "take gateway.rootPath away",
    ),
]
"""Values that do not go together, and what is said of them."""


@pytest.mark.parametrize(("together", "said"), CONTRADICTIONS)
def test_values_that_do_not_go_together_are_refused(together, said):
    with pytest.raises(HelmRenderError, match=said):
        render(merged(GIVEN, together))


def refusal(values: dict[str, Any]) -> str:
    """What Helm says of values that do not go together."""
    with pytest.raises(HelmRenderError) as refused:
        render(merged(GIVEN, values))
    return str(refused.value)


def test_every_refusal_of_the_templates_is_tried():
    """But for that of an old Kubernetes, which has a test of its own."""
    texts = [file.read_text() for file in CHART.rglob("templates/**/*") if file.is_file()]
    forms = [form for text in texts for form in re.findall(r'{{- fail (?:\(printf )?"(.*?)"', text)]
    assert len(forms) == sum(text.count("{{- fail") for text in texts) > 5
    tried = [refusal(together) for together, _ in CONTRADICTIONS]
    patterns = {form: ".*".join(map(re.escape, re.split("%[ds]", form))) for form in forms}
    (untried,) = [
        form for form, pattern in patterns.items() if not any(re.search(pattern, said) for said in tried)
    ]
    assert "which Kubernetes has from 1.31" in untried


def test_image_volumes_are_refused_where_kubernetes_has_none(capfd):
    """When it lints for a version of Kubernetes, Helm tells of a refusal in its log alone."""
    lint(CHART, PROFILES["image-volume"], kube_version="v1.31.0")
    assert "which Kubernetes has from 1.31" not in capfd.readouterr().err
    lint(CHART, PROFILES["image-volume"], kube_version="v1.30.0")
    assert "which Kubernetes has from 1.31; this is v1.30.0" in capfd.readouterr().err


@pytest.mark.parametrize("name", PROFILES)
def test_helm_finds_no_fault_in_profiles(name):
    report = lint(CHART, PROFILES[name], strict=True)
    assert report["errors"] == []
    assert [message["error"] for message in report["messages"]] == ["icon is recommended"]


def test_a_grace_period_of_ones_own_is_kept():
    pod = gateway(render(merged(GIVEN, {"terminationGracePeriodSeconds": 31})))
    assert pod["spec"]["terminationGracePeriodSeconds"] == 31
    # Longer drains make longer ones.
    pod = gateway(render(merged(GIVEN, {"drainSeconds": 300})))
    assert pod["spec"]["terminationGracePeriodSeconds"] == 310


def schemas(schema: dict[str, Any], place: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Each object among the kinds of values, and where it is."""
    if schema.get("type") == "object":
        yield place, schema
    for name, inner in schema.get("properties", {}).items():
        yield from schemas(inner, f"{place}/{name}")
    if "items" in schema:
        yield from schemas(schema["items"], f"{place}/0")
    for name, inner in schema.get("$defs", {}).items():
        yield from schemas(inner, f"/$defs/{name}")


def test_the_schema_is_closed():
    """But for what Kubernetes itself has the form of, and for Helm's own values."""
    opened = {place for place, schema in schemas(SCHEMA) if "additionalProperties" not in schema}
    assert opened == {
        "/global",
        "/$defs/placement/affinity/nodeAffinity",
        "/$defs/placement/affinity/podAffinity",
        "/$defs/placement/affinity/podAntiAffinity",
        "/$defs/peer/namespaceSelector",
        "/$defs/peer/podSelector",
        "/$defs/variable/valueFrom",
    }
    named = {
        place for place, schema in schemas(SCHEMA) if isinstance(schema.get("additionalProperties"), dict)
    }
    assert named == {"/$defs/labels", "/$defs/quantities"}


def test_the_schema_and_the_defaults_have_the_same_values():
    def names(values: Any, schema: dict[str, Any], place: str = "") -> Iterator[str]:
        if "$ref" in schema:
            schema = SCHEMA["$defs"][schema["$ref"].rpartition("/")[2]]
        known = schema.get("properties", {})
        whole = place.endswith(("/settings", "/resources", "/placement"))
        if isinstance(values, dict) and known and not whole:
            yield from (f"{place}/{name}" for name in known.keys() ^ values.keys())
            for name in known.keys() & values.keys():
                yield from names(values[name], known[name], f"{place}/{name}")

    found = set(names(VALUES, SCHEMA))
    assert found == {"/global", "/terminationGracePeriodSeconds"}


def test_the_schema_knows_the_settings_of_the_gateway():
    rules = {"type", "enum", "minimum", "exclusiveMinimum", "maximum", "pattern", "minLength"}
    expected = {}
    for name, schema in Settings.model_json_schema()["properties"].items():
        given = next((kind for kind in schema.get("anyOf", []) if kind["type"] != "null"), schema)
        if name not in OF_THE_CHART:
            expected[name] = {rule: value for rule, value in given.items() if rule in rules}
    assert property_of("gateway", "settings")["properties"] == expected
    engines = Settings.model_json_schema()["properties"]["engine"]["enum"]
    assert property_of("gateway", "engine")["enum"] == [name for name in engines if name != "triton"]


def test_the_schema_knows_what_training_and_export_know():
    assert property_of("blocks", "family")["enum"] == sorted(FAMILIES)
    assert property_of("blocks", "formats")["items"]["enum"] == sorted(format_names())
    block = property_of("blocks", "list")["items"]
    assert block["properties"]["data"]["properties"].keys() == {field.name for field in fields(DataOptions)}
    assert block["properties"]["run"]["properties"].keys() == set(RUN_FIELDS)


def test_the_charts_images_are_of_this_version():
    project = tomllib.loads((CHART.parents[2] / "pyproject.toml").read_text())["project"]
    with Chart.load(CHART) as chart:
        assert chart.metadata["appVersion"] == project["version"]
    (container,) = gateway(render(GIVEN))["spec"]["containers"]
    assert container["image"] == f"neurocity-serve:{project['version']}"
    digest = PROFILES["image-volume"]["gateway"]["image"]["digest"]
    (container,) = gateway(render(PROFILES["image-volume"]))["spec"]["containers"]
    assert container["image"] == f"registry.example.org/neurocity-serve@{digest}"


def test_other_blocks_are_another_job():
    """A cluster refuses to change a job; what may be changed leaves it the same."""
    values = PROFILES["blocks"]

    def job(changes: dict[str, Any]) -> str:
        return only(render(merged(values, {"blocks": changes})), "Job")["metadata"]["name"]

    assert job({}) == job({"parallelism": 4, "keepSeconds": 60})
    assert len({job({}), job({"preset": "cpu"}), job({"list": values["blocks"]["list"][:2]})}) == 3
