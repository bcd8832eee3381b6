"""Blocks trained by a real Ray cluster on this machine, of which a node dies in the middle."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from neurocity.city.manifest import City, write_city
from neurocity.city_training.job import Job, parts_of
from neurocity.city_training.options import COARSE, PartOptions
from neurocity.city_training.record import Record, read_progress, read_record
from neurocity.city_training.runners.ray_cluster import RayRunner
from neurocity.city_training.runners.runner import run_jobs

pytestmark = [
    pytest.mark.slow,
    # Ray's own, of files and processes that it leaves to its daemons.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore:.*ray.*:FutureWarning"),
    pytest.mark.filterwarnings("ignore:.*ray.*:DeprecationWarning"),
]


@pytest.fixture
def cluster() -> Iterator[Any]:
    """Two nodes of one processor each."""
    ray = pytest.importorskip("ray")
    from ray.cluster_utils import Cluster  # noqa: PLC0415

    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    ray.init(address=made.address, log_to_driver=False, logging_level="ERROR")
    yield made
    ray.shutdown()
    made.shutdown()


def test_all_blocks_are_trained_when_a_node_dies(cluster: Any, planned_town: City, tmp_path: Path) -> None:
    town, parts = tmp_path / "town", parts_of(planned_town)
    write_city(town, planned_town)
    assert len(parts) >= 4
    values = ("training.rays_per_batch=256", "training.steps_per_epoch=10", "training.square_side=1")

    def job(part: str, steps: int) -> Job:
        options = PartOptions(steps=steps, device="cpu", set_=values)
        return Job(city=town, part=part, options=options, threads=1)

    def record(part: str) -> Record:
        found = read_record(job(part, 1).run_folder)
        assert found is not None
        return found

    runner = RayRunner(address=cluster.address, cpus=1, gpus=0.0, retries=3)
    first = run_jobs([job(COARSE, 10)], runner, retries=0, watch=lambda *_: None)
    assert first[COARSE].code == 0, first
    blocks = parts[1:]
    killed: list[set[str]] = []
    second = cluster.add_node(num_cpus=1)

    def kill(*_: Any) -> None:
        """When two blocks are at work at once, and both have taken some steps."""
        at_work = [
            part
            for part in blocks
            if (found := read_record(job(part, 1).run_folder)) is not None and found.state == "training"
        ]
        steps = [read_progress(job(part, 1).run_folder).step for part in at_work]
        if not killed and len(at_work) == 2 and min(steps) > 10:
            killed.append(set(at_work))
            cluster.remove_node(second, allow_graceful=False)

    results = run_jobs([job(part, 200) for part in blocks], runner, retries=0, watch=kill)
    assert killed, "no two blocks were trained at once"
    assert [part for part, result in results.items() if result.code] == [], results
    assert results.keys() == set(blocks)
    records = {part: record(part) for part in blocks}
    found = {part: (each.state, each.step) for part, each in records.items()}
    assert found == dict.fromkeys(blocks, ("trained", 200))
    again = {part for part, each in records.items() if each.attempts > 1}
    assert len(again) == 1
    assert again < killed[0]

    # All are trained: nothing begins again.
    results = run_jobs([job(part, 200) for part in blocks], runner, retries=0, watch=lambda *_: None)
    assert all(result.code == 0 for result in results.values())
    assert {part: record(part) for part in blocks} == records
