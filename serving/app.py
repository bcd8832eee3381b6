"""The application factory. Importing this module does nothing; all state is in the application it makes."""

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from serving.access.keys import ApiKeys, read_lines
from serving.access.links import SigningKeys
from serving.drain import Drain
from serving.engines.base import Engine, open_engine
from serving.http import health, render, scenes
from serving.http import metrics as metrics_route
from serving.http.openapi import install_openapi
from serving.http.pages import docs_route, viewer_routes
from serving.http.problems import install_error_handlers
from serving.middleware.authorisation import Authorisation
from serving.middleware.body import RequestBody
from serving.middleware.draining import Draining
from serving.middleware.head import Head
from serving.middleware.other_sites import OtherSites
from serving.middleware.request_log import RequestLog
from serving.middleware.request_metrics import RequestMetrics
from serving.render.service import RenderService, Stages
from serving.settings import Settings
from serving.state import Gateway
from serving.telemetry.metrics import Metrics

LOOPBACK = ("127.0.0.1", "::1", "localhost")

log = logging.getLogger(__name__)


def create_app(
    settings: Settings | None = None, engine: Engine | None = None, drain: Drain | None = None
) -> FastAPI:
    """The gateway as an ASGI application; `settings` come from the environment by default.

    The engine is opened when the application starts and closed when it ends, unless `engine` is given, which
    stays its owner's. `drain` is set by the server that runs the application, before it ends. Start-up raises
    as `open_engine` does.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = engine or await open_engine(chosen.engine, chosen)
        metrics: Metrics = app.state.metrics
        service = RenderService(opened, chosen.limits(), chosen.budget(), _counted_by(metrics))
        metrics.watch(
            "neurocity_queue_seconds_estimated", "Work that runs or waits.", service.reserved_seconds
        )
        for scene in service.scenes():
            log.info("scene %s: engine %s (%s)", scene, *service.served_by(scene))
        app.state.gateway = Gateway(service=service, settings=chosen, metrics=metrics)
        try:
            yield
        finally:
            if engine is None:
                await opened.close()

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
    install_error_handlers(app)
    install_openapi(app)
    for module in (health, metrics_route, scenes, render):
        app.include_router(module.router)
    app.router.routes += [docs_route(app), *viewer_routes()]
    app.add_middleware(RequestBody, limit=chosen.max_body_bytes, seconds=chosen.request_timeout_seconds)
    _authorise(app, chosen)
    answered = {"/livez", "/readyz"} if chosen.drain_ready else {"/livez"}
    app.add_middleware(Draining, drain=drain or Drain(), still_answered=frozenset(answered))
    app.add_middleware(OtherSites, policy=chosen.cross_origin)
    app.add_middleware(RequestMetrics, metrics=app.state.metrics)
    app.add_middleware(RequestLog)
    app.add_middleware(Head)
    return app


def _counted_by(metrics: Metrics) -> Callable[[Stages], None]:
    def count(made: Stages) -> None:
        seconds = {"queue": made.queue, "compute": made.compute, "encode": made.encode}
        metrics.made(made.scene, made.engine, made.pixels, seconds)

    return count


def _authorise(app: FastAPI, settings: Settings) -> None:
    """Ask for keys, when there are any; a gateway without keys that others can reach says so."""
    lines = (settings.api_keys or "").split(";")
    keys = ApiKeys(lines, "api_keys")
    if file := settings.api_key_file:
        keys = ApiKeys([*lines, *read_lines(file)], str(file))
    signing = SigningKeys([], "")
    if file := settings.signing_key_file:
        signing = SigningKeys(read_lines(file), str(file))
    if len(keys) or len(signing):
        app.add_middleware(Authorisation, keys=keys, signing=signing)
    elif settings.host not in LOOPBACK:
        log.warning("host=%s: whoever reaches it may render; --api-key-file asks for keys", settings.host)
