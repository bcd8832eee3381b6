"""The gateway's settings: command line over environment (`NEUROCITY_MAX_PIXELS=...`) over these defaults."""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from neurocity.resources import available_memory
from serving.engines.base import AUTO, ENGINES
from serving.render.admission import Budget
from serving.render.limits import Limits
from serving.scenes.opening import SceneOptions
from serving.telemetry.logs import LogFormat
from serving.videos.limits import VideoLimits

if TYPE_CHECKING:
    EngineName = str
else:  # the registry's names, which no type checker can know
    EngineName = Literal[AUTO, *ENGINES]


CrossOriginPolicy = Literal["same-origin", "same-site", "cross-origin"]


class Settings(BaseSettings, SceneOptions):
    """Everything that can be set about a gateway process, what its engine may be told included."""

    model_config = SettingsConfigDict(env_prefix="NEUROCITY_", frozen=True, use_attribute_docstrings=True)

    engine: EngineName = "auto"
    """What renders: a library in this process, a Triton server, or for each scene the first that can."""

    host: str = Field(default="127.0.0.1", min_length=1)
    """Address to listen on; 0.0.0.0 for all of IPv4, :: for all."""

    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one."""

    root_path: str | None = Field(default=None, pattern=r"^/[\w./-]*[\w.-]$")
    """Prefix that a proxy takes away from all paths, such as /city."""

    trusted_proxies: str | None = None
    """Addresses or networks, with commas between them, whose X-Forwarded-For and -Proto are believed."""

    api_key_file: Path | None = None
    """File of API keys, a line each: NAME SHA256 SCENES [OPTIONS]; `neurocity-serve key NAME` makes them."""

    api_keys: str | None = None
    """The same lines, with semicolons between them."""

    signing_key_file: Path | None = None
    """File of the secrets of signed links, a line each: NAME SECRET SCENES [OPTIONS]."""

    cross_origin: CrossOriginPolicy = "same-origin"
    """Whose pages may embed pictures: this site's, those of its parent domain, or all."""

    cache_control: str = Field(default="no-cache", pattern=r"^[\w\-=, ]+$")
    """Cache-Control of pictures; with no-cache they are kept, and asked for again by their ETag."""

    log_format: LogFormat = "text"
    """Form of the log's lines, on standard error."""

    otlp_endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s/?#]+[^\s?#]*$")
    """Base URL of an OpenTelemetry collector (OTLP over HTTP) that gets the spans of requests, such as
    http://127.0.0.1:4318; without it, the standard OTEL_EXPORTER_OTLP_ENDPOINT counts."""

    max_pixels: int = Field(default=4_194_304, ge=1)
    """Largest width x height of a request."""

    max_side: int = Field(default=8192, ge=1)
    """Largest width and largest height of a request, in pixels."""

    max_body_bytes: int = Field(default=65_536, ge=1)
    """Largest request body."""

    max_connections: int = Field(default=1000, ge=1)
    """Connections at the same time; the limit of open files may allow less. Beyond it those that have been
    idle for longest are closed."""

    request_timeout_seconds: float = Field(default=20.0, gt=0, allow_inf_nan=False)
    """Time in which a request's head, and then its body, must arrive (status 408)."""

    keep_alive_seconds: float = Field(default=75.0, gt=0, allow_inf_nan=False)
    """Time after which an idle connection is closed; longer than that of the proxies in front, often 60."""

    live_views: int = Field(default=100, ge=0)
    """Live views that may be open at the same time; 0 for none."""

    live_views_per_client: int = Field(default=8, ge=1)
    """Live views that one API key, or else one address, may have open."""

    live_idle_seconds: float = Field(default=300.0, gt=0, allow_inf_nan=False)
    """Time after which a live view whose camera does not move is closed; the page opens it again."""

    drain_seconds: float = Field(default=25.0, gt=0, allow_inf_nan=False)
    """Time after SIGTERM or SIGINT in which accepted requests are answered; then the process ends."""

    drain_ready: bool = False
    """Whether /readyz stays as it was during the drain, for platforms that take endpoints away themselves."""

    render_timeout_seconds: float = Field(default=60.0, gt=0, allow_inf_nan=False)
    """Time after which a render is given up (status 504)."""

    city_wait_seconds: float = Field(default=5.0, ge=0, allow_inf_nan=False)
    """Time that a picture of a city waits for blocks that are not in memory, within half of its deadline;
    then something coarser stands in, and the answer says so."""

    queue_seconds: float = Field(default=3.0, gt=0, allow_inf_nan=False)
    """Seconds of the engine's work that may run and wait, in each of three classes of size; over it, 503."""

    memory_bytes: int = Field(default=0, ge=0)
    """Memory for pictures that are being made and for answers that are being read; 0 for half of what the
    process may use."""

    cache_bytes: int = Field(default=64 * 2**20, ge=0)
    """Memory for encoded pictures that are kept; 0 keeps none."""

    videos: Path | None = None
    """Folder for films; without it none are made. It belongs to one process."""

    videos_bytes: int = Field(default=10 * 2**30, ge=1)
    """Disk that films may take; beyond it new ones are refused (status 507)."""

    videos_hours: float = Field(default=24.0, gt=0, allow_inf_nan=False)
    """Time that a film is kept after it was done, or has failed."""

    max_videos: int = Field(default=16, ge=1)
    """Films that may wait or be rendered; over it, 503."""

    max_videos_per_client: int = Field(default=4, ge=1)
    """Those of one API key, or else one address; over it, 429."""

    max_video_pixels: int = Field(default=2 * 10**9, ge=1)
    """Largest frames x width x height of a film."""

    max_video_body_bytes: int = Field(default=4 * 2**20, ge=1)
    """Largest request body that asks for a film; camera paths are long."""

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

    def video_limits(self) -> VideoLimits:
        """What films may take."""
        return VideoLimits(
            pixels=self.max_video_pixels,
            waiting=self.max_videos,
            waiting_per_client=self.max_videos_per_client,
            bytes=self.videos_bytes,
            seconds=self.videos_hours * 3600,
        )
