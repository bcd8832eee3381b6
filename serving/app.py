"""The application factory. Importing this module does nothing; all state is in the application it makes."""

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from importlib.metadata import version

from fastapi import FastAPI

from serving.engines.base import Engine, open_engine
from serving.http import health, render, scenes
from serving.http.openapi import install_openapi
from serving.http.pages import docs_route, viewer_routes
from serving.http.problems import install_error_handlers
from serving.middleware.body_limit import BodyLimit
from serving.middleware.request_log import RequestLog
from serving.render.service import RenderService
from serving.settings import Settings
from serving.state import Gateway

log = logging.getLogger(__name__)


def create_app(settings: Settings | None = None, engine: Engine | None = None) -> FastAPI:
    """The gateway as an ASGI application; `settings` come from the environment by default.

    The engine is opened when the application starts and closed when it ends, unless `engine` is given, which
    stays its owner's. Start-up raises as `open_engine` does.
    """
    chosen = settings or Settings()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        opened = engine or await open_engine(chosen.engine, chosen)
        service = RenderService(opened, chosen.limits(), chosen.budget())
        for scene in service.scenes():
            log.info("scene %s: engine %s (%s)", scene, *service.served_by(scene))
        app.state.gateway = Gateway(service=service, settings=chosen)
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
    )
    install_error_handlers(app)
    install_openapi(app)
    for module in (health, scenes, render):
        app.include_router(module.router)
    app.router.routes += [docs_route(app), *viewer_routes()]
    app.add_middleware(BodyLimit, limit=chosen.max_body_bytes)
    app.add_middleware(RequestLog)
    return app
