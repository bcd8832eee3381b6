"""A district of a procedural city: photographed by a survey, planned, trained in blocks, exported, judged and
flown over, beside one undivided model of the same photographs and the same minutes.

    python -m benchmarks.district OUT
    python -m benchmarks.district OUT --small

Steps that are done are not done again: the same command goes on after an interruption, and prints the tables.
"""

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import tyro

from benchmarks.district.flight import flown, way
from benchmarks.district.quality import EVERYTHING, quality
from benchmarks.district.steps import Steps
from benchmarks.district.tables import bars, flight_table, made_table, quality_table
from benchmarks.load.bench import table
from benchmarks.machine import facts
from neurocity.cameras import Camera
from neurocity.city.manifest import City, read_city
from neurocity.city.renderer import CityRenderer
from neurocity.data.load import load_scene
from neurocity.data.scene import Scene
from neurocity.poses import look_at
from neurocity.resources import available_processors

NAME, WHOLE = "district", "whole"


@dataclass(frozen=True)
class Settings:
    """What figures depend on."""

    blocks: tuple[int, int] = (3, 3)
    """Blocks of the city along x and y; each is a block of the plan."""
    minutes: float = 1.5
    """Training of a block, and of the coarse model."""
    runner: str = "ray"
    """Of `neurocity city train`."""
    jobs: int = 2
    """Blocks that train at the same time, a processor each."""
    pixels: int = 200
    """Width and height of the photographs."""
    frames: int = 200
    """Of the flight."""
    width: int = 640
    height: int = 360
    """Of its pictures."""
    in_memory: int = 4
    """Blocks that the gateway has memory for: bytes of so many of the largest."""
    band: float = 0.1
    """Around borders, on each side, as a share of a cell."""


SMALL = Settings(
    blocks=(2, 2),
    minutes=0.1,
    runner="local",
    pixels=64,
    frames=24,
    width=64,
    height=36,
    in_memory=2,
)
"""A look at whether all works."""


@dataclass(frozen=True)
class Arguments:
    """Make a district and measure it."""

    out: Annotated[Path, tyro.conf.Positional]
    """Folder for photographs, models and figures."""
    settings: Annotated[Settings, tyro.conf.OmitArgPrefixes] = Settings()
    small: bool = False
    """Everything at its smallest, in minutes."""
    port: int = 8795
    """Port of the gateways, one after the other."""


class District:
    """The folder of a benchmark and what is done in it."""

    def __init__(self, arguments: Arguments) -> None:
        if arguments.small and arguments.settings != Settings():
            raise SystemExit("small: has values of its own; leave it out, or the other options")
        self.settings = SMALL if arguments.small else arguments.settings
        self.port = arguments.port
        self.steps = Steps(arguments.out, asdict(self.settings))
        self.data, self.folder = arguments.out / "photographs", arguments.out / NAME
        self.models = arguments.out / "models"

    def scene(self) -> Scene:
        """The photographs."""
        return load_scene(self.data)

    def city(self) -> City:
        """The city as it is now."""
        return read_city(self.folder)

    def photographs(self) -> dict[str, Any]:
        """A survey of the city."""
        size = self.settings.pixels
        options = ["--blocks", *self.settings.blocks, "--width", size, "--height", size, "--overwrite"]
        self.steps.run("neurocity", "demo-data", self.data, "--survey", *options)
        return {name: len(frames) for name, frames in self.scene().splits.items()}

    def plan(self) -> dict[str, Any]:
        """A block of the plan for each of the city."""
        low, high = self.scene().bounds[:2], self.scene().bounds[3:5]
        spans = ((b - a) / count for a, b, count in zip(low, high, self.settings.blocks, strict=True))
        size = math.ceil(10.0 * max(spans)) / 10.0
        words = ["city", "plan", "--data", self.data, "--out", self.folder, "--block-size", size]
        self.steps.run("neurocity", *words, "--overwrite")
        views = [len(block.photographs) for block in self.city().blocks]
        return {"block_size": size, "blocks": len(views), "views": views}

    def train(self) -> dict[str, Any]:
        """All blocks and the coarse model."""
        jobs = self.settings.jobs
        words = ["--runner", self.settings.runner, "--minutes", self.settings.minutes, "--jobs", jobs]
        processors = max(available_processors() // jobs, 1)
        self.steps.run("neurocity", "city", "train", self.folder, *words, "--cpus", processors)
        return {"processors": processors}

    def export(self) -> dict[str, Any]:
        """Blocks, proved and clipped."""
        self.steps.run("neurocity-export", "city", self.folder)
        city = self.city()
        sizes = {block.id: block.model.artefact.bytes for block in city.blocks if block.model}
        coarser = sum(model.artefact.bytes for block in city.blocks for model in block.coarser)
        coarse = city.coarse.model.artefact.bytes if city.coarse.model else 0
        return {"blocks": sizes, "coarser": coarser, "coarse": coarse}

    def undivided(self) -> dict[str, Any]:
        """One model that has the whole machine for as long as the blocks and the coarse model had it."""
        minutes = (len(self.city().blocks) + 1) * self.settings.minutes / self.settings.jobs
        run = self.steps.folder / "runs" / WHOLE
        words = ["svraster", "--data", self.data, "--out", run, "--preset", "cpu", "--max-minutes", minutes]
        self.steps.run("neurocity", "train", *words)
        words = ["--name", WHOLE, "--out", self.models, "--formats", "native", "--force"]
        self.steps.run("neurocity-export", run / "checkpoints" / "last.ckpt", *words)
        (file,) = (self.models / f"{WHOLE}_native").glob("*/model.safetensors")
        return {"minutes": minutes, "bytes": file.stat().st_size}

    def quality(self) -> dict[str, Any]:
        """Held-out photographs against both."""
        return quality(self.scene(), self.folder, self.models / f"{WHOLE}_native", self.settings.band)

    def loaded(self) -> dict[str, Any]:
        """What each block takes in memory, by one look at it from above."""
        renderer, sizes = CityRenderer(self.folder, EVERYTHING), {}
        city, top = renderer.city, self.scene().bounds[5]
        for block in city.blocks:
            before, box = renderer.residency.bytes, np.array(city.ground.box(block.cells[0]))
            x, y = 0.5 * (box[:2] + box[3:5])
            eye = (float(x), float(y), top + 1.0)
            pose = look_at(eye, (*eye[:2], 0.0), (0.0, 1.0, 0.0))
            renderer.render(Camera.from_fov_y(pose, 1, 1, 1.0).rays())
            sizes[block.id] = renderer.residency.bytes - before
        return {"blocks": sizes}

    def flights(self) -> dict[str, Any]:
        """Over the city with memory for some blocks and for all, and over the undivided model."""
        sizes = sorted(self.steps.done["loaded"]["blocks"].values())
        memory = sum(sizes[-self.settings.in_memory :])
        cameras = way(self.city(), self.scene().bounds[5], self.settings.frames)
        size = self.settings.width, self.settings.height
        few, all_blocks = (
            flown(self.folder, NAME, self.port, ["--city-bytes", str(limit)], cameras, size)
            for limit in (memory, EVERYTHING)
        )
        whole = flown(self.models, WHOLE, self.port, [], cameras, size)
        return {"memory": memory, "few": few, "all": all_blocks, "whole": whole}


def main() -> None:
    """Do what is not done yet, and print the tables."""
    district = District(tyro.cli(Arguments, description=__doc__))
    for name, task in {
        "photographs": district.photographs,
        "plan": district.plan,
        "train": district.train,
        "export": district.export,
        "undivided": district.undivided,
        "quality": district.quality,
        "loaded": district.loaded,
        "flights": district.flights,
    }.items():
        district.steps.once(name, task)
    done = district.steps.done
    print(f"{facts()}\n")
    print(
        *made_table(done), "", *quality_table(done["quality"]), "", *flight_table(done["flights"]), sep="\n"
    )
    print(f"\n{table(bars(done['quality'], done['flights']))}")
