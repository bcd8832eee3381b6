"""Cities in repositories: beside other scenes, refused, and found when they are there at last."""

import asyncio
from dataclasses import replace
from pathlib import Path

import analytic_scene
import pytest
from test_serving_repository import look

from neurocity.city.manifest import read_city, write_city
from neurocity.errors import ManifestError
from serving.engines.base import EngineOptions
from serving.scenes.opening import SceneOptions, open_scenes
from serving.scenes.repository import RepositoryScenes


def test_a_coarse_model_that_comes_late_is_found_though_the_city_file_stays(town_copy: Path) -> None:
    model = read_city(town_copy).coarse.model
    assert model is not None
    artefact = town_copy / model.folder / model.artefact.name
    whole = artefact.read_bytes()

    async def looks() -> None:
        source = RepositoryScenes("auto", EngineOptions(repository=town_copy, threads=1))

        async def reason() -> str:
            return (await source.look()).refused.get("city.json", "")

        try:
            artefact.write_bytes(whole[:-7])
            assert f"has {len(whole) - 7} bytes" in await reason()
            artefact.with_name("manifest.json").rename(town_copy / "aside")
            assert "manifest.json: cannot be read" in await reason()
            (town_copy / "aside").rename(artefact.with_name("manifest.json"))
            artefact.write_bytes(bytes(len(whole)))
            broken = (await source.look()).offers["town"][1]
            with pytest.raises(ManifestError, match="has SHA-256"):
                await broken.open()
            artefact.unlink()
            artefact.write_bytes(whole)
            repaired = (await source.look()).offers["town"][1]
            assert repaired.identity != broken.identity, "it would not be tried again"
            (await repaired.open()).close()
            assert (await source.look()).offers["town"][1].identity == repaired.identity
        finally:
            await source.close()

    asyncio.run(looks())


def test_cities_stand_beside_other_scenes_and_are_refused_where_they_cannot_be_served(
    town_folder: Path, tmp_path: Path
) -> None:
    repository = analytic_scene.write_repository(tmp_path / "repository", "native", "onnx")
    (repository / "town").symlink_to(town_folder)
    assert look(repository, "auto") == ({"sphere": [1], "town": [1]}, {})
    offers, refused = look(repository)
    assert offers == {"sphere": [1]}
    assert "is a city, which --engine onnxruntime does not render" in refused["town/city.json"]
    (repository / "again").symlink_to(town_folder)
    offers, refused = look(repository, "auto")
    assert "there is another scene 'town'" in refused["town/city.json"]
    city = read_city(town_folder)
    planned = replace(city, coarse=replace(city.coarse, model=None))
    write_city(tmp_path / "planned", planned)
    assert "coarse model is not made yet" in look(tmp_path / "planned", "auto")[1]["city.json"]


def test_cities_in_object_storage_are_refused(town_folder: Path, tmp_path: Path) -> None:
    write_city(tmp_path / "bucket" / "town", read_city(town_folder))

    async def session():
        scenes = await open_scenes("auto", SceneOptions(repository=f"file://{tmp_path}/bucket"))
        try:
            return dict(scenes.scenes()), dict(scenes.refused())
        finally:
            await scenes.close()

    found, refused = asyncio.run(session())
    assert found == {}
    assert "cities are served from a folder of this machine" in refused["town/city.json"]
