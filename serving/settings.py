"""The gateway's settings: command line over environment (`NEUROCITY_MAX_PIXELS=...`) over these defaults."""

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from serving.engines.base import EngineOptions


class Settings(BaseSettings):
    """Everything that can be set about a gateway process."""

    model_config = SettingsConfigDict(env_prefix="NEUROCITY_", frozen=True, use_attribute_docstrings=True)

    repository: Path = Path("model_repository")
    """Model repository folder that in-process engines open: <scene>_<format>/<version>/."""

    engine: Literal["onnxruntime", "torch", "triton"] = "onnxruntime"
    """What renders: an in-process library, or a Triton server."""

    precision: Literal["fp32", "fp16"] = "fp32"
    """Precision of the artefacts that in-process engines open."""

    triton_url: str | None = None
    """HOST:PORT of the Triton server's gRPC endpoint; needed by the triton engine."""

    device: Literal["cpu", "cuda"] = "cpu"
    """Where in-process engines compute; an absent device is an error, never a fallback."""

    threads: int = Field(default=0, ge=0)
    """Threads inside one call of an in-process engine; 0 lets its library choose."""

    concurrent_calls: int = Field(default=1, ge=1)
    """Calls that an in-process engine runs at the same time; further ones wait in order."""

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

    def engine_options(self) -> EngineOptions:
        """The part of the settings that engines read."""
        return EngineOptions(
            repository=self.repository,
            precision=self.precision,
            triton_url=self.triton_url,
            device=self.device,
            threads=self.threads,
            concurrent_calls=self.concurrent_calls,
        )
