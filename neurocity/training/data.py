"""Scenes as Lightning data."""

from collections.abc import Callable, Iterator
from dataclasses import replace

import pytorch_lightning as pl
from torch import Tensor
from torch.utils.data import DataLoader, Sampler

from neurocity.cameras import Camera
from neurocity.contract import SceneInfo
from neurocity.data.datasets import RayBatch, TrainingRays, ViewBatch, Views
from neurocity.data.scene import Scene
from neurocity.errors import DataError
from neurocity.lenses import PINHOLE
from neurocity.training.module import RadianceFieldModule


class StepSampler(Sampler[tuple[int, int]]):
    """Asks the trainer, before each batch, which step comes and how many rays the model wants."""

    def __init__(self, module: Callable[[], RadianceFieldModule], batches: int) -> None:
        self.module = module
        self.batches = batches

    def __len__(self) -> int:
        return self.batches

    def __iter__(self) -> Iterator[tuple[int, int]]:
        for _ in range(self.batches):
            module = self.module()
            yield module.trainer.global_step, module.rays_per_batch


class SceneDataModule(pl.LightningDataModule):
    """Training rays and held-out views of a scene.

    seed: of the random rays. steps_per_epoch: training batches between validations. on_frame: called once per
    training image that was decoded.
    """

    def __init__(
        self,
        scene: Scene,
        *,
        seed: int,
        steps_per_epoch: int,
        on_frame: Callable[[], None] | None = None,
    ) -> None:
        super().__init__()
        self.scene = scene
        self.seed = seed
        self.steps_per_epoch = steps_per_epoch
        self.on_frame = on_frame
        self.rays: TrainingRays | None = None

    def setup(self, stage: str) -> None:
        if stage == "fit" and self.rays is None:
            self.rays = TrainingRays(
                self.scene.splits["train"],
                seed=self.seed,
                batches=self.steps_per_epoch,
                on_frame=self.on_frame,
            ).to(self._trainer().strategy.root_device)

    def train_dataloader(self) -> DataLoader[RayBatch]:
        assert self.rays is not None, "setup comes before train_dataloader"
        return DataLoader(self.rays, batch_size=None, sampler=StepSampler(self._module, len(self.rays)))

    def val_dataloader(self) -> DataLoader[ViewBatch]:
        return DataLoader(Views(self.scene.held_out), batch_size=None)

    def alpha_views(self) -> list[tuple[Camera, Tensor]]:
        """Each training camera with its image's alpha [H, W] in [0, 1]."""
        assert self.rays is not None, "setup comes before alpha_views"
        alpha = self.rays.rgba[:, 3].cpu().float() / 255.0
        views = []
        for index, frame in enumerate(self.scene.splits["train"]):
            pixels = alpha[int(self.rays.starts[index]) : int(self.rays.starts[index + 1])]
            views.append((frame.camera, pixels.view(frame.camera.height, frame.camera.width)))
        return views

    def _trainer(self) -> pl.Trainer:
        assert self.trainer is not None, "the data module is not attached to a trainer"
        return self.trainer

    def _module(self) -> RadianceFieldModule:
        module = self._trainer().lightning_module
        assert isinstance(module, RadianceFieldModule)
        return module


def scene_info(scene: Scene) -> SceneInfo:
    """What a checkpoint carries of a scene. Raises DataError when nothing is held out to judge a model by."""
    if not scene.held_out:
        raise DataError(f"{scene.root}: has no val or test frames; a model is judged and exported by them")
    transparent = not scene.unbounded and any(frame.has_alpha for frame in scene.splits["train"])
    return SceneInfo(
        bounds=scene.bounds,
        up=scene.up,
        background=(1.0, 1.0, 1.0) if transparent else None,
        # Models render ideal pinholes: a held-out camera with a lens stands for the same view without it.
        views=tuple(replace(frame.camera, lens=PINHOLE).to_view(frame.name) for frame in scene.held_out),
        dataset_fingerprint=scene.fingerprint(),
    )
