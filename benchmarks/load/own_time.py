"""What the gateway takes beside its engine, and how many small pictures it makes in a second."""

import statistics
import time
from pathlib import Path

from benchmarks.load.bench import Bench, ok
from benchmarks.load.client import BlockingConnection
from neurocity.cameras import Camera, Rays
from neurocity.poses import look_at
from serving.render.cost import SceneCost
from serving.scenes.opening import SceneOptions, open_scenes
from serving.scenes.scenes import Scenes

SMALL, USUAL = 8, 256
OWN_MS, NPY_MS = 1.0, 2.0


async def least_tile(repository: Path, engine_name: str, scene: str) -> int:
    """Pixels of the smallest tile that the gateway cuts of a scene."""
    scenes = await open_scenes(engine_name, SceneOptions(repository=repository))
    try:
        return SceneCost(scenes.scenes()[scene], time.monotonic).least_tile_pixels
    finally:
        await scenes.close()


async def own_time(bench: Bench, repository: Path, engine_name: str) -> None:
    """Over the engine's time, in turns with it, on a kept connection: 8x8 as PNG and 256x256 as npy."""
    scenes = await open_scenes(engine_name, SceneOptions(repository=repository))
    quick = bench.seconds < 1
    try:
        for side, encoding, bar in ((SMALL, "png", OWN_MS), (USUAL, "npy", NPY_MS)):
            repeats = 20 if quick else 300 if side == SMALL else 60
            by_gateway, by_engine = await _medians(bench, scenes, side, encoding, repeats)
            added = by_gateway - by_engine
            print(
                f"{side}x{side} {encoding}: {by_gateway:.2f} ms, the engine alone {by_engine:.2f}: the "
                f"gateway adds {added:.2f} ms at p50",
                flush=True,
            )
            what = f"gateway's own time, {side}x{side} {encoding}, p50"
            bench.check(what, f"< {bar:g} ms", f"{added:.2f} ms", added < bar)
    finally:
        await scenes.close()


async def _medians(
    bench: Bench, scenes: Scenes, side: int, encoding: str, repeats: int
) -> tuple[float, float]:
    """Milliseconds of the gateway and of the engine alone."""
    rays = _rays(bench, scenes, side)
    connection = BlockingConnection(bench.port)
    whole, alone = [], []
    for _ in range(repeats):
        began = time.perf_counter()
        await scenes.render(bench.pictures.scene, rays, None)
        alone.append(time.perf_counter() - began)
        whole.append(connection.seconds(bench.pictures.post(side, encoding=encoding)))
    connection.close()
    return 1e3 * statistics.median(whole), 1e3 * statistics.median(alone)


def _rays(bench: Bench, scenes: Scenes, side: int) -> Rays:
    pictures = bench.pictures
    pose = look_at(pictures.eye, pictures.target, scenes.scenes()[pictures.scene].info.up)
    return Camera.from_fov_y(pose, side, side, 50.0).rays()


async def rates(bench: Bench) -> None:
    """8x8 pictures a second, by connections."""
    seconds, found = bench.seconds / 5, []
    for clients in (1, 8, 32):
        answers = await bench.closed_loop(SMALL, clients, seconds)
        found.append(f"{len(ok(answers)) / seconds:.0f}/s at {clients}")
    print(f"8x8 by connections: {', '.join(found)}", flush=True)
