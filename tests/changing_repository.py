"""A repository whose scenes come, change and go, and scenes that are opened on it."""

import asyncio
from dataclasses import replace

import analytic_scene
import numpy as np

from neurocity.contract import MANIFEST_FILE, Golden, file_record, manifest_from_json, to_json
from serving.scenes.opening import SceneOptions, open_scenes

RAYS = analytic_scene.camera(8, 6).rays()
SCENE = analytic_scene.SCENE


def add(repository, version, scene=SCENE, **options):
    """The scene with colours of 1 / version, so that a picture says which one it is of."""
    options = {"rgb_scale": 1.0 / version, **options}
    return analytic_scene.write_repository(repository, "onnx", scene=scene, version=version, **options)


def folder(repository, version, scene=SCENE):
    return repository / f"{scene}_onnx" / str(version)


def recolour(repository, version, background, scene=SCENE):
    """Change a fact of the scene in its manifest, and no other file."""
    file = folder(repository, version, scene) / MANIFEST_FILE
    manifest = manifest_from_json(file.read_text())
    file.write_text(to_json(replace(manifest, info=replace(manifest.info, background=background))))


def flip(repository, version, scene=SCENE):
    """Change the artefact's bytes and not its size."""
    path = folder(repository, version, scene) / "model.onnx"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.unlink()
    path.write_bytes(content)


def with_scenes(repository, use, **options):
    """The result of `use(scenes)`."""

    async def session():
        chosen = SceneOptions(**{"repository": repository, "threads": 1, "poll_seconds": 0, **options})
        scenes = await open_scenes("onnxruntime", chosen)
        try:
            return await use(scenes)
        finally:
            await scenes.close()

    return asyncio.run(session())


def version_of(rgb) -> int:
    """Of the version that the light is of, all of it."""
    whole = analytic_scene.render(*RAYS.arrays())[0]
    number = round(float(whole.max() / rgb.max()))
    np.testing.assert_allclose(rgb, whole / number, atol=2e-5)
    return number


async def rendered(scenes, scene=SCENE) -> int:
    return version_of((await scenes.render(scene, RAYS, None)).rgb)


def write_golden(version):
    """Answers of the sphere of version 1, as golden files."""
    rgb, depth, opacity = (values.astype(np.float32) for values in analytic_scene.render(*RAYS.arrays()))
    (version / "golden").mkdir()
    np.savez_compressed(
        version / "golden" / "rays.npz",
        names=np.array(["rays"]),
        counts=np.array([len(RAYS)]),
        origins=RAYS.origins,
        directions=RAYS.directions,
        rgb=rgb,
        depth=depth,
        opacity=opacity,
    )
    manifest = manifest_from_json((version / MANIFEST_FILE).read_text())
    rays = file_record("golden/rays.npz", (version / "golden" / "rays.npz").read_bytes())
    tolerance = {"rgb": 2e-3, "opacity": 2e-3, "depth": 2e-3}
    manifest = replace(manifest, golden=Golden(rays=rays, views=()), parity={"tolerance": tolerance})
    (version / MANIFEST_FILE).write_text(to_json(manifest))
