"""An artefact on a Triton server is asked and read by the names of its backend, whatever they are."""

from types import SimpleNamespace

import numpy as np
import pytest
from fixtures_export import tiny_info

import export.parity.triton_client
from export.parity.triton_client import open_on_server
from neurocity.cameras import Camera
from neurocity.contract import MANIFEST_KEY, ArtefactFile, SceneManifest, ray_inputs, to_json
from neurocity.errors import EngineError
from neurocity.triton_names import input_name, output_name

FILE = ArtefactFile(name="model.pt2", sha256="a" * 64, bytes=3)


def _manifest(cones: bool) -> SceneManifest:
    about = {"scene": "tiny", "version": 1, "family": "tiny", "format": "aotinductor", "precision": "fp32"}
    about |= {"checkpoint_sha256": "1" * 64, "artefact": FILE, "info": tiny_info()}
    return SceneManifest(**about, inputs=ray_inputs(cones))


class _Input:
    def __init__(self, name, shape, kind) -> None:
        self.name, self.shape, self.kind = name, shape, kind

    def set_data_from_numpy(self, values) -> None:
        assert list(values.shape) == self.shape
        self.values = values


def _server(manifest: SceneManifest, naming: str, sent: list[dict[str, np.ndarray]]):
    """`tritonclient.grpc` with a server that has one model: its rgb is the rays' directions."""
    inputs = [input_name(naming, i, spec.name) for i, spec in enumerate(manifest.inputs)]
    outputs = [output_name(naming, i, spec.name) for i, spec in enumerate(manifest.outputs)]
    config = SimpleNamespace(
        name=manifest.model_name,
        input=[SimpleNamespace(name=name) for name in inputs],
        output=[SimpleNamespace(name=name) for name in reversed(outputs)],
        parameters={MANIFEST_KEY: SimpleNamespace(string_value=to_json(manifest))},
    )

    class Client:
        def __init__(self, _url, channel_args) -> None:
            assert dict(channel_args)["grpc.max_receive_message_length"] == -1

        def get_model_config(self, _name, _version):
            return SimpleNamespace(config=config)

        def is_model_ready(self, _name, _version):
            return True

        def infer(self, _name, tensors, _version, outputs, client_timeout):  # noqa: ARG002
            sent.append({tensor.name: tensor.values for tensor in tensors})
            directions = sent[-1][inputs[1]]
            values = (directions, directions[:, 0], directions[:, 1])
            answer = dict(zip(_names, values, strict=True))
            assert set(outputs) == set(answer)
            return SimpleNamespace(as_numpy=answer.__getitem__)

    _names = outputs
    return SimpleNamespace(
        InferenceServerClient=Client,
        InferInput=_Input,
        InferRequestedOutput=str,
        InferenceServerException=ZeroDivisionError,
    )


@pytest.mark.parametrize("cones", [False, True])
@pytest.mark.parametrize("naming", ["plain", "numbered", "positional"])
def test_an_artefact_is_asked_by_the_names_of_its_backend(naming, cones, monkeypatch):
    manifest, sent = _manifest(cones), []
    monkeypatch.setattr(export.parity.triton_client, "import_client", lambda: _server(manifest, naming, sent))
    render, checks = open_on_server("server:1", manifest)
    assert all(check.passed for check in checks)
    rays = Camera.from_view(tiny_info().views[0]).rays(radii=cones)
    light = render(rays)
    np.testing.assert_array_equal(light.rgb, rays.directions)
    np.testing.assert_array_equal(light.depth, rays.directions[:, 0])
    np.testing.assert_array_equal(light.opacity, rays.directions[:, 1])
    names = [input_name(naming, index, spec.name) for index, spec in enumerate(manifest.inputs)]
    assert list(sent[0]) == names
    for name, array in zip(names, rays.arrays(), strict=True):
        np.testing.assert_array_equal(sent[0][name], array)


def test_a_model_without_the_tensors_is_named(monkeypatch):
    """Of a server that runs an older export, which takes no radii."""
    old, new = _manifest(False), _manifest(True)
    monkeypatch.setattr(export.parity.triton_client, "import_client", lambda: _server(old, "plain", []))
    with pytest.raises(EngineError, match="has no tensor ray_radii; it has ray_origins, ray_directions"):
        open_on_server("server:1", new)
