"""The proof of a version that was just opened: it answers as its model did at the export.

It renders the rays of its golden files, and may be as far from their answers as the export allowed
(`parity.tolerance` of its manifest). Nothing is proved of a version without: those of older releases, those
that stand with a server, and copies that were made without their golden files.
"""

import asyncio
import logging
import time
from collections.abc import Awaitable

from neurocity.cameras import Rays
from neurocity.deviation import deviation, scene_diagonal
from neurocity.errors import DeadlineExceededError, EngineError, ManifestError
from neurocity.golden import Answered, read_rays
from neurocity.light import Light
from neurocity.model_repository import Version
from serving.engines.base import OpenVersion
from serving.parts import in_parts

log = logging.getLogger("neurocity.serving")

PROOF_SECONDS = 60.0
"""For each call."""

CALL_RAYS = 1024
"""Of one call: tiles of the version that is served wait for it."""

LIMITS = ("rgb", "opacity", "depth")
"""Errors of `Deviation` that the tolerance of a manifest limits under the same names."""


async def prove(opened: OpenVersion, version: Version | None) -> None:
    """Compare its golden rays, where there are any. version: where the golden files are, or None.

    Raises ManifestError when they, or the tolerance, are not what they say, EngineError when an answer is
    wrong or does not come, and EngineUnavailableError when the engine cannot be reached.
    """
    golden = version.manifest.golden if version else None
    if version is None or golden is None:
        return
    if not (version.path / golden.rays.name).exists():
        return log.info("%s: is not proved, its golden files are not there", version.path)
    answered = await asyncio.to_thread(_read, version)
    limits = _limits(version)
    diagonal = scene_diagonal(version.manifest.info.bounds)
    for name, (rays, expected) in answered.items():
        try:
            got = await _render(opened, rays)
        except DeadlineExceededError:
            raise EngineError(f"{version.path}: {name} took more than {PROOF_SECONDS:g} s") from None
        found = deviation(got, expected, diagonal)
        for limit, most in limits.items():
            error = getattr(found, limit)
            if not error <= most:  # NaN is no proof either
                raise EngineError(
                    f"{version.path}: is not equal to its model: {limit} error of {name} is {error:.3g}, "
                    f"its manifest allows {most:.3g}"
                )


async def _render(opened: OpenVersion, rays: Rays) -> Light:
    def call(part: slice) -> Awaitable[Light]:
        return opened.render(rays[part], time.monotonic() + PROOF_SECONDS)

    parts = (slice(first, first + CALL_RAYS) for first in range(0, len(rays), CALL_RAYS))
    return await in_parts(len(rays), parts, call, at_once=1)


def _read(version: Version) -> dict[str, Answered]:
    manifest = version.manifest
    assert manifest.golden is not None
    path = version.verify(manifest.golden.rays)
    return read_rays(path.read_bytes(), manifest.golden.rays.name, radii=manifest.takes_ray_radii)


def _limits(version: Version) -> dict[str, float]:
    tolerance = version.manifest.parity.get("tolerance")
    try:
        return {name: float(tolerance[name]) for name in LIMITS}  # type: ignore[index]
    except (KeyError, TypeError, ValueError) as error:
        raise ManifestError(
            f"{version.path}: parity.tolerance is not that of this release ({error}); export again"
        ) from None
