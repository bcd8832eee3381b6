"""Reads deploy/compose.yaml, and starts its services as processes of this machine.

Their words, files and environment are those of the file and of the Dockerfile. What containers would have
for themselves is mapped: a path of a volume is its source's, `service:port` an address of this machine, and
what DNS would tell Prometheus stands in its configuration.
"""

import json
import re
import shlex
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from compose_spec import PyOptions
from prometheus_server import quick
from test_dockerfile import read_stages

from deploy.ports import free_port

FILE = Path(__file__).parents[1] / "deploy" / "compose.yaml"
VARIABLE = re.compile(r"\$\{(\w+):-([^}]*)\}")


def compose_file(text: str, **variables: str) -> dict[str, Any]:
    """The content of a compose file, with these variables in the environment.

    Raises ValueError for what is no compose file.
    """
    text = VARIABLE.sub(lambda found: variables.get(found[1], found[2]), text)
    assert "$" not in text, "a variable without a default, which compose would ask for"
    compose = PyOptions(apply_merge=True).from_yaml(text)
    compose.validate()
    return compose.to_dict()


@dataclass(frozen=True)
class Image:
    """What a target of the Dockerfile gives to its containers."""

    environment: Mapping[str, str]
    entry_point: list[str]


def image(target: str) -> Image:
    """A target of the Dockerfile. Raises KeyError for what is none."""
    stage = read_stages()[target]
    pairs = [pair.partition("=") for value in stage.get("ENV", []) for pair in shlex.split(value)]
    return Image({name: text for name, _, text in pairs}, json.loads(stage["ENTRYPOINT"][-1]))


class Mapped:
    """The services, with the places that they have on this machine.

    folder: where their files are written. addresses: `service:port` -> an address of this machine; a free one
    is taken for what is not there.
    """

    def __init__(self, folder: Path, addresses: Mapping[str, str], **variables: str) -> None:
        self.services = compose_file(FILE.read_text(), **variables)["services"]
        self._folder = folder
        self._addresses = dict(addresses)

    def address(self, place: str) -> str:
        """Where `service:port` is."""
        return self._addresses.setdefault(place, f"127.0.0.1:{free_port()}")

    def words(self, name: str) -> list[str]:
        """The words of a service's command."""
        paths = self._paths(name)
        return [self._mapped(self._moved(word, paths)) for word in self.services[name]["command"]]

    def environment(self, name: str) -> dict[str, str]:
        """The NEUROCITY_ variables of a gateway's container, which listens where `address` says."""
        given = image(self.services[name]["build"]["target"]).environment
        host, _, port = self.address(f"{name}:{given['NEUROCITY_PORT']}").partition(":")
        paths = self._paths(name)
        kept = {key: text for key, text in given.items() if key.startswith("NEUROCITY_")}
        kept |= {"NEUROCITY_HOST": host, "NEUROCITY_PORT": port}
        return {key: self._moved(text, paths) for key, text in kept.items()}

    def _paths(self, name: str) -> dict[str, Path]:
        """Paths in the service's containers -> those of this machine."""
        return {target: self._source(source) for target, source in volumes(self.services[name])}

    def _source(self, source: str) -> Path:
        if not source.startswith((".", "/")):  # a volume with a name, which is empty at first
            made = self._folder / "volumes" / source
            made.mkdir(parents=True, exist_ok=True)
            return made
        path = FILE.parent / source
        if path != FILE.parent / "prometheus":
            return path
        copy = self._folder / "prometheus"
        if not copy.exists():
            shutil.copytree(path, copy)
            for file in copy.glob("*.yaml"):
                file.write_text(self._mapped(resolved(quick(file.read_text()))))
        return copy

    @staticmethod
    def _moved(word: str, paths: Mapping[str, Path]) -> str:
        for target, path in paths.items():
            word = re.sub(rf"(?<![\w/]){re.escape(target)}(?![\w-])", str(path), word)
        return word

    def _mapped(self, text: str) -> str:
        names = "|".join(sorted(self.services, key=len, reverse=True))
        return re.sub(rf"(?<![\w-])(?:{names}):\d+", lambda found: self.address(found[0]), text)


def volumes(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Each path in the service's containers that something is mounted at, and its source."""
    for volume in service.get("volumes", []):
        if isinstance(volume, str):
            source, target, *_ = volume.split(":")
            yield target, source
        else:
            yield volume["target"], volume["source"]


def resolved(text: str) -> str:
    """A configuration of Prometheus whose names have been looked up: all services are there."""
    content = yaml.safe_load(text)
    for job in content.get("scrape_configs", []):
        for found in job.pop("dns_sd_configs", []):
            targets = [f"{name}:{found['port']}" for name in found["names"]]
            job.setdefault("static_configs", []).append({"targets": targets})
    return yaml.safe_dump(content)
