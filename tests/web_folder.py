"""A folder of the format web in a model repository, whose files have any bytes: the gateway reads none."""

import base64
import random
from dataclasses import replace
from pathlib import Path

import analytic_scene

from neurocity.contract import MANIFEST_FILE, file_record, to_json

SCENE = analytic_scene.SCENE


def files(version: int = 1) -> dict[str, bytes]:
    """Name -> bytes of a folder; all but the page's are other ones in each version."""
    noise = base64.b64encode(random.Random(version).randbytes(150_000))
    return {
        "index.html": b"<!doctype html><title>A scene</title>",
        "viewer.js": b"'use strict';" + b"draw();" * 1000,
        "viewer.css": b"body { margin: 0 }",
        "poster.png": b"\x89PNG of version %d" % version,
        "scene.js": b'neurocityScene({"version": %d});\n' % version,
        "groups/00.js": b'neurocityGroup(0, "' + noise + b'");\n',
    }


def write(
    repository: Path, version: int = 1, scene: str = SCENE, checkpoint: str = analytic_scene.CHECKPOINT
) -> Path:
    """Put the folder into a repository, as the exporter would; the version folder."""
    folder = repository / f"{scene}_web" / str(version)
    for name, content in files(version).items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    records = {name: file_record(name, content) for name, content in files(version).items()}
    manifest = replace(
        analytic_scene.manifest("onnx", b"", scene=scene, version=version),
        format="web",
        checkpoint_sha256=checkpoint,
        artefact=records.pop("scene.js"),
        files=tuple(records.values()),
    )
    (folder / "report.md").write_text("not for everybody")
    (folder / MANIFEST_FILE).write_text(to_json(manifest))
    return folder
