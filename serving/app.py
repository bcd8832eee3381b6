"""The application factory. Importing this module does nothing; all state is in the application it makes."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from serving.access.keys import ApiKeys, read_lines
from serving.access.links import SigningKeys
from serving.drain import Drain
from serving.engines.blocks import BlockCounts
from serving.errors import failure_of
from serving.http import admin, health, render
from serving.http import metrics as metrics_route
from serving.http import scenes as scenes_route
from serving.http import videos as videos_route
from serving.http import web as web_route
from serving.http.openapi import install_openapi
from serving.http.pages import docs_route, viewer_routes
from serving.http.problems import install_error_handlers
from serving.live.places import Places
from serving.live.route import live_router
from serving.middleware.authorisation import Authorisation
from serving.middleware.body import RequestBody
from serving.middleware.draining import Draining
from serving.middleware.entrance import Entrance
from serving.middleware.failures import Failures
from serving.middleware.head import Head
from serving.middleware.other_sites import OtherSites
from serving.middleware.request_log import RequestLog
from serving.middleware.request_metrics import RequestMetrics
from serving.middleware.request_trace import RequestTrace
from serving.render.admission import Budget
from serving.render.picture import Stages
from serving.render.service import RenderService
from serving.scenes.opening import open_scenes
from serving.scenes.scenes import Scenes
from serving.settings import Settings
from serving.state import Gateway
from serving.telemetry.metrics import Metrics
from serving.telemetry.tracing import open_tracing
from serving.videos.jobs import VideoJobs
from serving.videos.store import VideoStore

LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None, scenes: Scenes | None = None, drain: Drain | None = None
) -> FastAPI:
    """The gateway as an ASGI application; `settings` come from the environment by default.

    Scenes are opened when the application starts and closed when it ends, unless `scenes` are given, which
    stay their owner's. `drain` is set by the server that runs the application, before it ends. Raises
    MissingDependencyError where tracing is asked for without its packages, and ConfigError when the folder
    for films cannot be had; start-up raises as `open_scenes`.
    """
    chosen = settings or Settings()
    drain = drain or Drain()
    store = VideoStore(chosen.videos) if chosen.videos else None
    places = Places(chosen.live_views, chosen.live_views_per_client)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = scenes or await open_scenes(chosen.engine, chosen)
        await opened.start()
        metrics: Metrics = app.state.metrics
        service = RenderService(opened, chosen.limits(), chosen.budget(), _counted_by(metrics))
        _watch(metrics, service, chosen.budget())
        _watch_scenes(metrics, opened)
        try:
            async with _videos(store, service, chosen, metrics, drain) as videos:
                app.state.gateway = Gateway(
                    scenes=opened, service=service, settings=chosen, metrics=metrics, videos=videos
                )
                yield
        finally:
            if scenes is None:
                await opened.close()
            if tracing is not None:
                await asyncio.to_thread(tracing.close)

    app = FastAPI(
        title="NeuroCity",
        description="Renders images of radiance fields: a camera in, pixels out.",
        version=version("neurocity"),
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,  # a redirect would repeat the Host header, and know no proxy's prefix
    )
    app.state.metrics = Metrics(app.version)
    app.state.drain = drain
    app.state.metrics.watch("neurocity_live_views", "Live views that are open.", places.taken)
    tracing = open_tracing(chosen.otlp_endpoint, app.version)
    install_error_handlers(app)
    install_openapi(app, chosen.limits())
    # Themselves and not by `include_router`, which looks for a request's route twice; pictures' first.
    live = live_router(places, drain)
    for router in (
        render.router,
        scenes_route.router,
        web_route.router,
        live,
        videos_route.router,
        videos_route.orders,
        health.router,
        metrics_route.router,
        admin.router,
    ):
        app.router.routes += router.routes
    app.router.routes += [docs_route(app), *viewer_routes(cross_origin=chosen.cross_origin)]
    app.add_middleware(
        RequestBody,
        limit=chosen.max_body_bytes,
        seconds=chosen.request_timeout_seconds,
        larger={videos_route.ORDERS: chosen.max_video_body_bytes} if store else None,
    )
    app.add_middleware(Entrance)
    _authorise(app, chosen)
    answered = {"/livez", "/readyz"} if chosen.drain_ready else {"/livez"}
    app.add_middleware(Draining, drain=drain, still_answered=frozenset(answered))
    app.add_middleware(Failures)
    app.add_middleware(OtherSites, policy=chosen.cross_origin)
    app.add_middleware(RequestMetrics, metrics=app.state.metrics)
    app.add_middleware(RequestLog)
    if tracing is not None:
        app.add_middleware(RequestTrace, tracing=tracing)
    app.add_middleware(Head)
    return app


def _watch(metrics: Metrics, service: RenderService, budget: Budget) -> None:
    """Show how much of the budget is taken."""
    metrics.watch("neurocity_queue_seconds_estimated", "Work that runs or waits.", service.reserved_seconds)
    metrics.watch("neurocity_queue_share", "Of the fullest class of size, of its limit.", service.queue_share)
    metrics.watch("neurocity_memory_reserved_bytes", "Pictures and answers.", service.reserved_bytes)
    metrics.watch("neurocity_memory_limit_bytes", "Of pictures and answers.", lambda: budget.memory_bytes)


def _counted_by(metrics: Metrics) -> Callable[[Stages], None]:
    def count(made: Stages) -> None:
        seconds = {"queue": made.queue, "compute": made.compute, "encode": made.encode}
        if made.in_blocks:
            seconds["load"] = made.load
        metrics.made(made.scene, made.engine, made.pixels, seconds)
        if made.in_blocks:
            metrics.city_picture(coarse=made.coarse)

    return count


def _watch_scenes(metrics: Metrics, scenes: Scenes) -> None:
    metrics.watch("neurocity_refused", "Folders and models that are refused.", lambda: len(scenes.refused()))
    metrics.watch_by(
        "neurocity_scene_loaded_bytes", "Bytes of loaded versions.", "scene", scenes.loaded.bytes_by_scene
    )
    metrics.count_by("neurocity_scene_loads", "Loads of versions.", "result", lambda: scenes.loaded.counts)
    _watch_cities(metrics, scenes.block_counts)


def _watch_cities(metrics: Metrics, counts: Callable[[], BlockCounts]) -> None:
    metrics.count_by(
        "neurocity_city_loads",
        "Loads of blocks of cities.",
        "result",
        lambda: {"loaded": counts().loaded, "failed": counts().failed},
    )
    metrics.count("neurocity_city_load_seconds", "That they took.", lambda: counts().load_seconds)
    metrics.count("neurocity_city_evictions", "Blocks that made room.", lambda: counts().evicted)
    metrics.watch("neurocity_city_resident_blocks", "Models in memory.", lambda: counts().resident)
    metrics.watch("neurocity_city_resident_bytes", "Their bytes.", lambda: counts().resident_bytes)
    metrics.watch("neurocity_city_limit_bytes", "That they may be.", lambda: counts().limit_bytes)
    metrics.watch(
        "neurocity_city_oldest_seconds",
        "Since the one that was not used for longest was.",
        lambda: counts().oldest_seconds,
    )


@asynccontextmanager
async def _videos(
    store: VideoStore | None, service: RenderService, settings: Settings, metrics: Metrics, drain: Drain
) -> AsyncIterator[VideoJobs | None]:
    """The films of the application, which stop when the drain begins; None without a store."""
    if store is None:
        yield None
        return
    videos = VideoJobs(store, service, settings.video_limits(), failure_of, metrics.video_frame)
    metrics.watch_by("neurocity_video_jobs", "Films, by their state.", "state", videos.shelf.counts)
    metrics.watch("neurocity_video_bytes", "Disk that films take.", videos.shelf.bytes)

    async def stop_at_drain() -> None:
        await drain.wait()
        videos.stop()

    watcher = asyncio.create_task(stop_at_drain())
    try:
        await videos.start()
        yield videos
    finally:
        watcher.cancel()
        await videos.close()


def _authorise(app: FastAPI, settings: Settings) -> None:
    """Ask for keys, when there are any; a gateway without keys that others can reach says so."""
    lines = (settings.api_keys or "").split(";")
    keys = ApiKeys(lines, "api_keys")
    if file := settings.api_key_file:
        in_file = read_lines(file)
        ApiKeys(in_file, str(file))  # a wrong line is told by its number there
        keys = ApiKeys([*lines, *in_file], f"api_keys and {file}")
    signing = SigningKeys([], "")
    if file := settings.signing_key_file:
        signing = SigningKeys(read_lines(file), str(file))
    if len(keys) or len(signing):
        app.add_middleware(Authorisation, keys=keys, signing=signing)
    elif settings.host not in LOOPBACK:
        log.warning("host=%s: whoever reaches it may render; --api-key-file asks for keys", settings.host)
