"""Alert rules and dashboard: their metrics exist, each alert fires when it should, and only then."""

import json
import re
import sys
from pathlib import Path

import analytic_scene
import pytest
import yaml
from gateway_server import running_gateway
from prometheus_client.parser import text_string_to_metric_families
from prometheus_server import SHIPPED as PROMETHEUS
from prometheus_server import needs, prometheus, promtool, quick, started
from test_serving_document import rows
from test_serving_faults import LINK, ScriptedEngine
from waiting import wait_for

from deploy.ports import free_port
from serving.app import create_app
from serving.settings import Settings

RULES = [
    rule
    for group in yaml.safe_load((PROMETHEUS / "alerts.yaml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = {rule["alert"]: rule for rule in RULES if "alert" in rule}
DASHBOARD = json.loads((PROMETHEUS.parent / "grafana" / "neurocity.json").read_text())
KEYWORDS = {"by", "unless", "on", "and", "or", "bool", "ignoring", "without"}
LABELS_OF_PROMETHEUS = {"job", "instance", "le"}


def names(expression: str) -> tuple[set[str], set[str]]:
    """The names of metrics and of labels in an expression of Prometheus."""
    matched = re.findall(r"(\w+)\s*(?:=~|!~|!=|=)\s*\"", expression)
    listed = re.findall(r"\bby\s*\(([^)]*)\)", expression)
    labels = {*matched, *(label.strip() for part in listed for label in part.split(","))}
    expression = re.sub(r"\bby\s*\([^)]*\)", "", expression)
    expression = re.sub(r"\"[^\"]*\"", "", expression)
    expression = re.sub(r"\{[^}]*\}|\[[^]]*\]", "", expression)
    words = re.findall(r"(?<![\w.$])[a-zA-Z_:][\w:]*(?!\w*\s*\()", expression)
    return set(words) - KEYWORDS, labels


def queries(board: dict) -> list[str]:
    """All expressions of a dashboard."""
    panels = [target["expr"] for panel in board["panels"] for target in panel.get("targets", [])]
    variables = [
        item["query"].partition("(")[2].rpartition(",")[0]
        for item in board["templating"]["list"]
        if item["type"] == "query"
    ]
    return panels + variables + [item["expr"] for item in board["annotations"]["list"]]


@pytest.fixture(scope="module")
def known():
    """The names of metrics, and of their labels, of a gateway that has answered; and Prometheus's."""
    with running_gateway(create_app(Settings(), ScriptedEngine())) as client:
        assert client.get(LINK).status_code == 200
        assert client.get("/v1/scenes/none").status_code == 404
        samples = [
            sample
            for family in text_string_to_metric_families(client.get("/metrics").text)
            for sample in family.samples
        ]
    recorded = {rule["record"] for rule in RULES if "record" in rule}
    metrics = {sample.name for sample in samples} | recorded | {"up"}
    return metrics, {label for sample in samples for label in sample.labels} | LABELS_OF_PROMETHEUS


@pytest.mark.parametrize("expression", [rule["expr"] for rule in RULES] + queries(DASHBOARD))
def test_expressions_ask_for_what_there_is(expression, known):
    metrics, labels = names(expression)
    assert metrics
    assert metrics - known[0] == set()
    assert labels - known[1] == set()


def test_names_are_found():
    expression = 'sum by (a, b) (rate(x_total{c=~"rate|y"}[5m])) > 0.05 * min(v:w:rate5m) unless z{d="1"}'
    assert names(expression) == ({"x_total", "v:w:rate5m", "z"}, {"a", "b", "c", "d"})


def test_every_alert_says_what_it_is_and_what_to_do():
    assert [row[0] for row in rows("When an alert fires")] == list(ALERTS)
    for rule in ALERTS.values():
        assert set(rule["annotations"]) == {"summary", "description"}
        assert rule["labels"]["severity"] in {"critical", "warning", "info"}


def test_every_alert_fires_when_it_should_and_only_then():
    cases = yaml.safe_load((PROMETHEUS / "alerts.test.yaml").read_text())["tests"]
    assert [case["name"] for case in cases] == list(ALERTS)
    for case in cases:
        silent, firing = case["alert_rule_test"]
        assert {silent["alertname"], firing["alertname"]} == {case["name"]}
        assert silent["exp_alerts"] == []
        assert len(firing["exp_alerts"]) == 1
    promtool("test", "rules", PROMETHEUS / "alerts.test.yaml")


@pytest.mark.parametrize("name", ["prometheus.yaml", "compose.yaml"])
def test_the_configuration_is_right(name):
    promtool("check", "config", PROMETHEUS / name)


def test_the_dashboard_is_whole():
    panels = [panel for panel in DASHBOARD["panels"] if panel["type"] != "row"]
    assert len(panels) > 10
    assert len({panel["id"] for panel in DASHBOARD["panels"]}) == len(DASHBOARD["panels"])
    taken = set()
    for panel in DASHBOARD["panels"]:
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        assert place["x"] + place["w"] <= 24
        taken |= cells


@pytest.mark.slow
def test_prometheus_tells_when_a_gateway_is_killed(tmp_path):
    """The rules and the configuration as they are, but for the address and for how long alerts wait."""
    needs("prometheus")
    repository = analytic_scene.write_repository(tmp_path / "models", "onnx")
    address = f"127.0.0.1:{free_port()}"
    for name in ("prometheus.yaml", "alerts.yaml"):
        text = quick((PROMETHEUS / name).read_text())
        (tmp_path / name).write_text(text.replace("127.0.0.1:8000", address))
    serve = [Path(sys.executable).with_name("neurocity-serve"), "--repository", repository]
    arguments = [f"--config.file={tmp_path}/prometheus.yaml", f"--storage.tsdb.path={tmp_path}/data"]
    with (
        started(*serve, "--engine", "onnxruntime", "--port", address.partition(":")[2]) as gateway,
        prometheus(arguments) as watching,
    ):
        wait_for(lambda: watching.up() == {address: "1"}, 60)
        wait_for(lambda: not watching.firing(), 60)
        gateway.kill()
        wait_for(watching.firing, 60)
        assert watching.firing() == {("NeuroCityDown", address)}
