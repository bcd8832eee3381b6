"""What the routes share: the engine and the settings of one application."""

import time
from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from serving.engines.base import Engine
from serving.errors import RequestError
from serving.settings import Settings


@dataclass(frozen=True, kw_only=True)
class Gateway:
    """An opened engine and the settings of the application that uses it."""

    engine: Engine
    settings: Settings

    def deadline(self) -> float:
        """The instant, on the clock of `time.monotonic()`, at which a render that starts now is given up."""
        return time.monotonic() + self.settings.render_timeout_seconds

    def check_size(self, width: int, height: int) -> None:
        """Raise RequestError that names the field when an image is larger than the limits."""
        for field, side in (("width", width), ("height", height)):
            if side > self.settings.max_side:
                raise RequestError(f"{field} is {side} pixels, the limit is {self.settings.max_side}", field)
        if width * height > self.settings.max_pixels:
            raise RequestError(
                f"width x height is {width} x {height} = {width * height} pixels, "
                f"the limit is {self.settings.max_pixels}",
                "width",
            )


def _gateway(request: Request) -> Gateway:
    return cast(Gateway, request.app.state.gateway)


GatewayOfApp = Annotated[Gateway, Depends(_gateway)]
"""The type of a route's parameter that receives the application's `Gateway`."""
