"""What docs/deploy.md says of Kubernetes: its commands are those of the chart, its table has all profiles."""

import re
import shlex

import pytest
import yaml
from helm_chart import CHART, PROFILES, gateway, merged, only, render

REPOSITORY = CHART.parents[2]
SECTION = (
    (REPOSITORY / "docs" / "deploy.md").read_text().partition("\n## Kubernetes\n")[2].partition("\n## ")[0]
)
FILES = {
    name: yaml.safe_load(text) for name, text in re.findall(r"```yaml\n# (\S+)\n(.*?)```", SECTION, re.S)
}
"""Files that the document shows."""
COMMANDS = [
    shlex.split(line)
    for block in re.findall(r"```sh\n(.*?)```", SECTION, re.S)
    for line in block.splitlines()
]
WITH_KEYS = {
    "keys": {"secret": "neurocity-keys"},
    "metrics": {"serviceMonitor": {"enabled": True, "key": {"secret": "neurocity-prometheus"}}},
}
"""As the document says, beside its file."""


def check_helm(words, _capsys=None):
    """`helm upgrade --install RELEASE CHART --namespace NAME --create-namespace -f FILE` can be rendered."""
    *begin, release, chart, namespace, _, create, flag, file = words[1:]
    assert [*begin, namespace] == ["upgrade", "--install", "--namespace"]
    assert [create, flag] == ["--create-namespace", "-f"]
    assert REPOSITORY / chart == CHART
    assert gateway(render(FILES[file], name=release))


def check_kubectl(words, _capsys=None):
    """`kubectl create secret generic SECRET --namespace NAME --from-...=KEY=...`: the chart looks there."""
    *begin, name, namespace, _, source = words[1:]
    assert [*begin, namespace] == ["create", "secret", "generic", "--namespace"]
    option, key, _ = source.split("=", 2)
    assert option in ("--from-file", "--from-literal")
    documents = render(merged(FILES["views.yaml"], WITH_KEYS))
    pod = gateway(documents)
    (container,) = pod["spec"]["containers"]
    (keys,) = [volume["secret"]["secretName"] for volume in pod["spec"]["volumes"] if "secret" in volume]
    (path,) = [item["value"] for item in container["env"] if item["name"] == "NEUROCITY_API_KEY_FILE"]
    (endpoint,) = only(documents, "ServiceMonitor")["spec"]["endpoints"]
    credentials = endpoint["authorization"]["credentials"]
    assert (name, key) in {(keys, path.rpartition("/")[2]), (credentials["name"], credentials["key"])}


CHECKS = {"helm": check_helm, "kubectl": check_kubectl}


@pytest.mark.parametrize("words", COMMANDS, ids=lambda words: " ".join(words[:5]))
def test_command(words):
    CHECKS[words[0]](words)


def test_wrong_commands_are_found():
    helm = "helm upgrade --install a deploy/helm/city --namespace a --create-namespace -f views.yaml"
    with pytest.raises(AssertionError):
        check_helm(helm.split())
    kubectl = "kubectl create secret generic neurocity-keys --namespace a --from-file=keys=keys.txt"
    with pytest.raises(AssertionError):
        check_kubectl(kubectl.split())


def test_all_is_looked_at():
    assert [words[0] for words in COMMANDS] == ["helm", "kubectl", "kubectl"]
    assert sorted(re.findall(r"^\| `([\w-]+)` \|", SECTION, re.M)) == sorted(PROFILES)
