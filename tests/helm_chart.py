"""The chart of deploy/helm, rendered by Helm's own library, and its documents checked as a cluster would."""

import functools
import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import kubernetes_validate
import kubernetes_validate.utils
import yaml
from helm_python.chart import Chart

from serving.settings import Settings

CHART = Path(__file__).parents[1] / "deploy" / "helm" / "neurocity"
SCHEMA = json.loads((CHART / "values.schema.json").read_text())
PROFILES: dict[str, dict[str, Any]] = {
    file.name.removesuffix("-values.yaml"): yaml.safe_load(file.read_text())
    for file in sorted((CHART / "ci").glob("*-values.yaml"))
}
NAMESPACE = "views"
ENVIRONMENT = re.compile(r"NEUROCITY_(\w+)")

Document = dict[str, Any]

# As shipped, they are read and parsed anew for each document.
kubernetes_validate.utils.schema_contents = functools.cache(kubernetes_validate.utils.schema_contents)


@functools.cache
def chart() -> Chart:
    """The chart, loaded."""
    return Chart.load(CHART)


def render(values: Mapping[str, Any], name: str = "demo") -> list[Document]:
    """All documents of a release of that name. Raises HelmError as `helm install` refuses."""
    texts = chart().render(dict(values), name=name, namespace=NAMESPACE).values()
    return [document for text in texts for document in yaml.safe_load_all(text) if document]


@functools.cache
def profile(name: str) -> list[Document]:
    """The documents of a profile; not to be changed."""
    return render(PROFILES[name])


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    """The documents of that kind."""
    return [document for document in documents if document["kind"] == kind]


def only(documents: list[Document], kind: str) -> Document:
    """The one document of that kind."""
    (found,) = of_kind(documents, kind)
    return found


def gateway(documents: list[Document]) -> Document:
    """The pod of the gateway: metadata and spec."""
    (found,) = [pod for pod in pods(documents) if "gateway" in {c["name"] for c in pod["spec"]["containers"]}]
    return found


def pods(documents: list[Document]) -> list[Document]:
    """What deployments and jobs make pods of."""
    return [document["spec"]["template"] for document in documents if "template" in document.get("spec", {})]


def containers(pod: Document) -> Iterator[Document]:
    """All of a pod's containers, sidecars and those that come before the others included."""
    yield from pod["spec"].get("initContainers", [])
    yield from pod["spec"]["containers"]


def environment(container: Document) -> dict[str, str]:
    """The environment variables that are given as they are."""
    return {item["name"]: item["value"] for item in container.get("env", []) if "value" in item}


def settings_of(container: Document) -> dict[str, str]:
    """The gateway's settings among a container's environment, by their names in `Settings`.

    Raises AssertionError for one that is no setting, which the gateway would not look at.
    """
    given = environment(container).items()
    found = {match[1].lower(): value for name, value in given if (match := ENVIRONMENT.match(name))}
    assert found.keys() <= Settings.model_fields.keys(), found.keys() - Settings.model_fields.keys()
    return found


def check(document: Document, version: str) -> None:
    """Compare a document with the schema of Kubernetes of that version, or of the resource's own, strictly.

    Raises jsonschema.ValidationError, and SchemaNotFoundError when there is no such kind.
    """
    own = Path(__file__).parent / "custom_resources" / f"{document['kind']}.json"
    if own.exists():
        jsonschema.Draft202012Validator(json.loads(own.read_text())).validate(document)
    else:
        kubernetes_validate.validate(document, version, strict=True)


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Values with others laid over them, as `helm -f` does."""
    result = dict(values)
    for name, value in changes.items():
        old = result.get(name)
        both = isinstance(value, Mapping) and isinstance(old, Mapping)
        result[name] = merged(old, value) if both else value  # type: ignore[arg-type]
    return result
