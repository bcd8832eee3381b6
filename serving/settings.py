"""The gateway's settings: command line over environment (`NEUROCITY_MAX_PIXELS=...`) over these defaults."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from neurocity.resources import available_memory
from serving.engines.base import ENGINES, EngineOptions
from serving.render.admission import Budget
from serving.render.options import Limits

if TYPE_CHECKING:
    EngineName = str
else:  # the registry's names, which no type checker can know
    EngineName = Literal[*ENGINES]


class Settings(BaseSettings, EngineOptions):
    """Everything that can be set about a gateway process, what its engine may be told included."""

    model_config = SettingsConfigDict(env_prefix="NEUROCITY_", frozen=True, use_attribute_docstrings=True)

    engine: EngineName = "auto"
    """What renders: a library in this process, a Triton server, or for each scene the first that can."""

    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for all interfaces."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    max_pixels: int = Field(default=4_194_304, ge=1)
    """Largest width x height of a request."""

    max_side: int = Field(default=8192, ge=1)
    """Largest width and largest height of a request, in pixels."""

    max_body_bytes: int = Field(default=65_536, ge=1)
    """Largest request body."""

    render_timeout_seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Time after which a render is given up (status 504)."""

    queue_seconds: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    """Seconds of the engine's work that may run and wait, in each of three classes of size; over it, 503."""

    memory_bytes: int = Field(default=0, ge=0)
    """Memory for pictures that are being made; 0 for half of what the process may use."""

    cache_bytes: int = Field(default=64 * 2**20, ge=0)
    """Memory for encoded pictures that are kept; 0 keeps none."""

    def limits(self) -> Limits:
        """What one picture may take."""
        return Limits(max_pixels=self.max_pixels, max_side=self.max_side)

    def budget(self) -> Budget:
        """What the gateway takes on."""
        return Budget(
            queue_seconds=self.queue_seconds,
            memory_bytes=self.memory_bytes or available_memory() // 2,
            cache_bytes=self.cache_bytes,
        )
