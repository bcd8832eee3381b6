"""Which parts of a city are trained as they are asked for."""

from neurocity.city.manifest import City
from neurocity.city_training.job import Job, job_digest, parts_of, run_folder
from neurocity.city_training.options import COARSE
from neurocity.city_training.record import Record, read_record
from neurocity.city_training.stamps import Stamps


def is_trained(city: City, job: Job, stamps: Stamps) -> bool:
    """Whether nothing of a part is left to train.

    A coarse model with which blocks have begun stays as it is when a budget changes, or they could not go
    on; `overwrite` has it trained longer, and the blocks anew. Raises as `read_record`.
    """
    record = read_record(job.run_folder)
    if record is None or record.state != "trained" or record.digest != digest_of(city, job):
        return False
    if not (job.city / record.checkpoint).is_file() or record.is_of_others(stamps.of(job.part)):
        return False
    is_done = record.is_done(record.digest, *job.options.budget(job.part))
    return is_done or (job.part == COARSE and not job.overwrite and _has_begun(city, job, record))


def digest_of(city: City, job: Job) -> str:
    """Of a job with the coarse model that there is now, see `job_digest`. Raises as `read_record`."""
    coarse = None if job.part == COARSE else read_record(run_folder(job.city, COARSE))
    return job_digest(city, job.part, job.options, "" if coarse is None else coarse.sha256)


def _has_begun(city: City, job: Job, coarse: Record) -> bool:
    """Whether a block has begun with this coarse model."""
    blocks = (read_record(run_folder(job.city, part)) for part in parts_of(city)[1:])
    return any(block is not None and block.coarse_sha256 == coarse.sha256 for block in blocks)
