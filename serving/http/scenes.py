"""`GET /v1/scenes` and `GET /v1/scenes/{scene}`: what is served, and all that a client must know of it."""

from typing import Any, get_args

from fastapi import APIRouter, Request
from pydantic import BaseModel

from neurocity.contract import SceneManifest, View
from neurocity.errors import SceneNotFoundError
from neurocity.world import bounds_in_world, views_in_world
from serving.access.keys import Grant
from serving.http.problems import problem_responses
from serving.render.options import FormatName, OutputName
from serving.scope import API_KEY
from serving.state import Gateway, GatewayOfApp

router = APIRouter(prefix="/v1/scenes", tags=["scenes"])


class SceneSummary(BaseModel):
    """One line of the list of scenes. engine, engine_reason: what renders it, and why that does."""

    scene: str
    version: int
    family: str
    format: str
    precision: str
    engine: str
    engine_reason: str


class SceneList(BaseModel):
    """The scenes that can be rendered."""

    scenes: list[SceneSummary]


class Limits(BaseModel):
    """What one request may ask for."""

    max_pixels: int
    max_side: int
    render_timeout_seconds: float


class SceneDescription(SceneSummary):
    """A scene in world coordinates; colours sRGB in [0, 1], poses camera-to-world with OpenGL axes.

    bounds: x0, y0, z0, x1, y1, z1 of the content. origin: the place that is zero in the model; requests need
    not know it. background: null when the scene models its surroundings. views: held-out views, good places
    to start from. parity: the measured equality with the trained model.
    """

    bounds: tuple[float, float, float, float, float, float]
    origin: tuple[float, float, float]
    up: tuple[float, float, float]
    background: tuple[float, float, float] | None
    views: list[View]
    outputs: list[str]
    formats: list[str]
    depth_kind: str
    limits: Limits
    sample_budget: dict[str, float]
    parity: dict[str, Any]
    checkpoint_sha256: str
    artefact_sha256: str
    artefact_bytes: int
    created: str


@router.get("", summary="List the scenes")
async def list_scenes(request: Request, gateway: GatewayOfApp) -> SceneList:
    """Every scene that the client may ask for, with the version that is served."""
    grant: Grant | None = request.scope.get(API_KEY)
    manifests = gateway.service.scenes().values()
    return SceneList(
        scenes=[_summary(gateway, item) for item in manifests if grant is None or grant.covers(item.scene)]
    )


@router.get("/{scene}", summary="Describe a scene", responses=problem_responses(SceneNotFoundError))
async def describe_scene(scene: str, gateway: GatewayOfApp) -> SceneDescription:
    """Bounds, up, background, views, limits, and where the artefact comes from."""
    manifest = gateway.service.scene(scene)
    return SceneDescription(
        **_summary(gateway, manifest).model_dump(),
        bounds=bounds_in_world(manifest.info),
        origin=manifest.info.origin,
        up=manifest.info.up,
        background=manifest.info.background,
        views=list(views_in_world(manifest.info)),
        outputs=list(get_args(OutputName)),
        formats=list(get_args(FormatName)),
        depth_kind=manifest.depth_kind,
        limits=Limits.model_validate(gateway.settings, from_attributes=True),
        sample_budget=manifest.sample_budget,
        parity=manifest.parity,
        checkpoint_sha256=manifest.checkpoint_sha256,
        artefact_sha256=manifest.artefact.sha256,
        artefact_bytes=manifest.artefact.bytes,
        created=manifest.created,
    )


def _summary(gateway: Gateway, manifest: SceneManifest) -> SceneSummary:
    served = gateway.service.served_by(manifest.scene)
    return SceneSummary(
        scene=manifest.scene,
        version=manifest.version,
        family=manifest.family,
        format=manifest.format,
        precision=manifest.precision,
        engine=served.engine,
        engine_reason=served.reason,
    )
