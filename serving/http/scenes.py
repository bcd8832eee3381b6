"""`GET /v1/scenes` and `GET /v1/scenes/{scene}`: what is served, and all that a client must know of it."""

from typing import Any, get_args
from urllib.parse import quote

from fastapi import APIRouter, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel

from neurocity.contract import SceneManifest, View
from neurocity.errors import SceneNotFoundError
from neurocity.pictures.options import OutputName, available_formats
from neurocity.world import bounds_in_world, views_in_world
from serving.http.problems import problem_responses
from serving.http.query import SceneVersionNumber
from serving.scenes.version import SceneVersion
from serving.scope import may_see
from serving.state import Gateway, GatewayOfApp

router = APIRouter(prefix="/v1/scenes", tags=["scenes"])


class SceneSummary(BaseModel):
    """One line of the list of scenes.

    engine, engine_reason: what renders it, and why that does. loaded: whether a picture can begin at once;
    else the version is loaded for it. loaded_bytes: that it takes while it is.
    pixels_per_second: as measured lately, or else at the export. blocks: of a city that is loaded, else null;
    loaded_blocks: those in memory, whose bytes are among loaded_bytes.
    """

    scene: str
    version: int
    family: str
    format: str
    precision: str
    engine: str
    engine_reason: str
    loaded: bool
    loaded_bytes: int
    pixels_per_second: float | None
    blocks: int | None
    loaded_blocks: int | None


class SceneList(BaseModel):
    """The scenes that can be rendered."""

    scenes: list[SceneSummary]


class Limits(BaseModel):
    """What one request may ask for."""

    max_pixels: int
    max_side: int
    render_timeout_seconds: float


class WebVersion(BaseModel):
    """The scene as files that browsers draw, of the same trained model as the version that is described.

    page: its address, below the gateway's. bytes: of all files. header_sha256: of `scene.js`.
    """

    version: int
    page: str
    bytes: int
    header_sha256: str


class SceneDescription(SceneSummary):
    """A scene in world coordinates; colours sRGB in [0, 1], poses camera-to-world with OpenGL axes.

    bounds: x0, y0, z0, x1, y1, z1 of the content. origin: the place that is zero in the model; requests need
    not know it. background: null when the scene models its surroundings. views: held-out views, good places
    to start from. versions: that can be asked for. film_formats: empty where no films are made. parity: the
    measured equality with the trained model. web: null where browsers cannot draw it themselves.
    """

    bounds: tuple[float, float, float, float, float, float]
    origin: tuple[float, float, float]
    up: tuple[float, float, float]
    background: tuple[float, float, float] | None
    views: list[View]
    versions: list[int]
    outputs: list[str]
    formats: list[str]
    film_formats: list[str]
    depth_kind: str
    limits: Limits
    sample_budget: dict[str, float]
    parity: dict[str, Any]
    checkpoint_sha256: str
    artefact_sha256: str
    artefact_bytes: int
    created: str
    web: WebVersion | None


@router.get("", summary="List the scenes")
async def list_scenes(request: Request, gateway: GatewayOfApp) -> SceneList:
    """Every scene that the client may ask for, with the version that is served."""
    names = [scene for scene in gateway.service.scenes() if may_see(request.scope, scene)]
    return SceneList(scenes=[_summary(gateway, gateway.scenes.find(scene)) for scene in names])


@router.get(
    "/{scene}",
    summary="Describe a scene",
    responses=problem_responses(SceneNotFoundError, RequestValidationError),
)
async def describe_scene(
    scene: str, gateway: GatewayOfApp, version: SceneVersionNumber = None
) -> SceneDescription:
    """Bounds, up, background, views, limits, and where the artefact comes from."""
    found = gateway.scenes.find(scene, version)
    manifest = found.manifest
    return SceneDescription(
        **_summary(gateway, found).model_dump(),
        bounds=bounds_in_world(manifest.info),
        origin=manifest.info.origin,
        up=manifest.info.up,
        background=manifest.info.background,
        views=list(views_in_world(manifest.info)),
        versions=[item.manifest.version for item in gateway.scenes.versions(scene)],
        outputs=list(get_args(OutputName)),
        formats=list(available_formats()),
        film_formats=list(gateway.videos.formats) if gateway.videos else [],
        depth_kind=manifest.depth_kind,
        limits=Limits.model_validate(gateway.settings, from_attributes=True),
        sample_budget=manifest.sample_budget,
        parity=manifest.parity,
        checkpoint_sha256=manifest.checkpoint_sha256,
        artefact_sha256=manifest.artefact.sha256,
        artefact_bytes=manifest.artefact.bytes,
        created=manifest.created,
        web=_web(gateway, manifest),
    )


def _web(gateway: Gateway, manifest: SceneManifest) -> WebVersion | None:
    folder = gateway.scenes.web.like(manifest)
    if folder is None:
        return None
    number = folder.manifest.version
    return WebVersion(
        version=number,
        page=f"v1/scenes/{quote(manifest.scene)}/web/{number}/",
        bytes=folder.bytes,
        header_sha256=folder.manifest.artefact.sha256,
    )


def _summary(gateway: Gateway, version: SceneVersion) -> SceneSummary:
    manifest, served, blocks = version.manifest, version.served, version.blocks
    return SceneSummary(
        scene=manifest.scene,
        version=manifest.version,
        family=manifest.family,
        format=manifest.format,
        precision=manifest.precision,
        engine=served.engine,
        engine_reason=served.reason,
        loaded=version.loaded,
        loaded_bytes=blocks.bytes if blocks else version.loaded_bytes,
        pixels_per_second=gateway.service.pixels_per_second(version),
        blocks=blocks.blocks if blocks else None,
        loaded_blocks=blocks.loaded if blocks else None,
    )
