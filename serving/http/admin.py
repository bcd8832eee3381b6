"""`GET /v1/admin/scenes`: all that stands in the repository, loaded, on demand or refused, for operators."""

from datetime import UTC, datetime

from fastapi import APIRouter
from pydantic import BaseModel

from neurocity.object_store import shown
from serving.scenes.version import SceneVersion
from serving.state import GatewayOfApp

router = APIRouter(prefix="/v1/admin", tags=["admin"])


class Refusal(BaseModel):
    """What cannot be served: a place in the repository, or a model on a server, and why."""

    place: str
    reason: str


class AdminVersion(BaseModel):
    """A version of a scene.

    place: its folder in the repository, or its model on a server. current: whether it is what is rendered
    when no version is asked for. leases: pictures and views that hold it now. last_used: the end of the last
    lease. broken_blocks: of a city, models that could not be loaded within the last half minute.
    """

    version: int
    place: str
    engine: str
    engine_reason: str
    artefact_sha256: str
    artefact_bytes: int
    current: bool
    loaded: bool
    loaded_bytes: int
    leases: int
    last_used: datetime | None
    broken_blocks: list[Refusal]


class AdminScene(BaseModel):
    """A scene and its versions, by number."""

    scene: str
    versions: list[AdminVersion]


class AdminScenes(BaseModel):
    """Everything that was found. loaded_bytes: of all that is loaded, of `--loaded-bytes`."""

    scenes: list[AdminScene]
    refused: list[Refusal]
    loaded_bytes: int
    loaded_bytes_limit: int


@router.get("/scenes", summary="List what is loaded and what is refused")
async def list_everything(gateway: GatewayOfApp) -> AdminScenes:
    """Every scene with its versions, and every folder that is not served, with the reason."""
    scenes = gateway.scenes
    # Where it stands is nobody's business on a gateway without keys.
    here = f"{shown(gateway.settings.repository)}/"
    return AdminScenes(
        scenes=[
            AdminScene(
                scene=scene,
                versions=[
                    _describe(version, here, current=version is current) for version in scenes.versions(scene)
                ],
            )
            for scene, current in sorted(scenes.current().items())
        ],
        refused=[
            Refusal(place=place, reason=reason.replace(here, ""))
            for place, reason in scenes.refused().items()
        ],
        loaded_bytes=scenes.loaded.bytes,
        loaded_bytes_limit=scenes.loaded.limit,
    )


def _describe(version: SceneVersion, here: str, *, current: bool) -> AdminVersion:
    manifest, blocks = version.manifest, version.blocks
    broken = blocks.broken if blocks else {}
    return AdminVersion(
        version=manifest.version,
        place=version.offer.place,
        engine=version.served.engine,
        engine_reason=version.served.reason,
        artefact_sha256=manifest.artefact.sha256,
        artefact_bytes=manifest.artefact.bytes,
        current=current,
        loaded=version.loaded,
        loaded_bytes=version.bytes_in_memory,
        leases=version.leases,
        last_used=datetime.fromtimestamp(version.used_at, UTC) if version.used_at else None,
        broken_blocks=[
            Refusal(place=place, reason=reason.replace(here, "")) for place, reason in broken.items()
        ],
    )
