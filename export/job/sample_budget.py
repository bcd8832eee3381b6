"""How many samples a ray gets in a render graph that takes a fixed number of them."""

from dataclasses import dataclass

from export.job.job import MAX_SAMPLES
from export.parity.rays import adversarial_rays, view_rays
from export.parity.reference import Reference
from neurocity.cameras import Rays
from neurocity.contract import SceneInfo
from neurocity.errors import ParityError

COUNTED_RAYS = 1 << 16
"""Rays of the held-out views that are counted, about at most, evenly spread over all of them."""
_MULTIPLE = 8


@dataclass(frozen=True, kw_only=True)
class SampleBudget:
    """samples: of a ray. needed: samples with which no counted ray loses light. truncated_ray_share: share of
    the counted rays of held-out views that `samples` cuts short."""

    samples: int
    needed: int
    truncated_ray_share: float

    def record(self) -> dict[str, float]:
        """The figures as the manifest keeps them."""
        return {"samples": float(self.samples), "truncated_ray_share": self.truncated_ray_share}

    def explain(self, failure: ParityError) -> ParityError:
        """`failure` with the number of samples that would do, if there were too few."""
        if self.samples >= self.needed:
            return failure
        return ParityError(
            f"{failure}\n  {self.samples} samples a ray cut {self.truncated_ray_share:.2%} of the held-out "
            f"rays short; {self.needed} would do: --samples {self.needed}, or leave --samples out"
        )


def choose_budget(reference: Reference, info: SceneInfo, samples: int | None) -> SampleBudget:
    """The budget with `samples`, or with as many as the rays need that an artefact is compared on.

    What is needed is counted on held-out views and on `adversarial_rays`, and rounded up to a multiple of 8,
    at most `MAX_SAMPLES`.
    """
    total = sum(view.width * view.height for view in info.views)
    step = -(-total // COUNTED_RAYS)
    seen = reference.samples_needed(Rays.joined([view_rays(view)[::step] for view in info.views]))
    hardest = max(
        int(reference.samples_needed(rays).max()) for rays in adversarial_rays(info.bounds).values()
    )
    most = max(int(seen.max()), hardest, 1)
    needed = min(-(-most // _MULTIPLE) * _MULTIPLE, MAX_SAMPLES)
    chosen = needed if samples is None else samples
    return SampleBudget(samples=chosen, needed=needed, truncated_ray_share=float((seen > chosen).mean()))
