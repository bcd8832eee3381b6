"""What would break on a CUDA device and on none else: tensors on two devices, and NumPy of the GPU's.

Training and eval of every family run on a GPU that is none (`pretend_gpu`), by PyTorch's operators alone;
`test_cuda_kernels_graphs` has the kernels.
"""

import copy
from pathlib import Path
from typing import Any

import pytest
import pytorch_lightning as pl
import torch
from family_models import rays, tiny_model_of
from pretend_gpu import CUDA, pretend_gpu
from pytorch_lightning.accelerators import CPUAccelerator
from pytorch_lightning.strategies import SingleDeviceStrategy
from tiny_families import tiny_model, tiny_training

from neurocity.data.datasets import training_datasets
from neurocity.data.load import load_scene
from neurocity.families import FAMILIES, find_family
from neurocity.rendering.cpu_kernels import without_kernels
from neurocity.training.data import SceneDataModule
from neurocity.training.module import RadianceFieldModule
from neurocity.training.trainer import build_trainer


class NoDriver(CPUAccelerator):
    """Lightning's accelerator for CUDA asks for a driver."""

    def setup_device(self, device: torch.device) -> None:
        assert device == CUDA


class Places(pl.Callback):
    """Where things are after a step; at the end Lightning takes the model back to the CPU."""

    def __init__(self) -> None:
        self.found: dict[str, set[torch.device]] = {"model": set(), "gradients": set(), "average": set()}

    def on_before_optimizer_step(self, _: pl.Trainer, module: pl.LightningModule, *__: Any) -> None:
        assert isinstance(module, RadianceFieldModule)
        model = [*module.parameters(), *module.model.buffers()]
        gradients = [each.grad for each in module.parameters() if each.grad is not None]
        average = [each for averaged in module.averaged_models() for each in averaged.parameters()]
        for name, tensors in (("model", model), ("gradients", gradients), ("average", average)):
            self.found[name] |= {tensor.device for tensor in tensors}


def test_what_is_mixed_is_refused() -> None:
    """As on CUDA; or else the tests below show nothing."""
    here = torch.ones(3)
    with pretend_gpu():
        there = torch.zeros(3, device="cuda", requires_grad=True)
        assert (there.device, here.device) == (CUDA, torch.device("cpu"))
        assert (there * 2.0 + here.to(there)).is_cuda
        (there * 2.0).sum().backward()
        assert there.grad is not None
        assert there.grad.is_cuda
        assert not there.cpu().is_cuda
        with pytest.raises(RuntimeError, match="one device"):
            there + here
        with pytest.raises(RuntimeError, match="one device"):
            here[torch.zeros(1, dtype=torch.int64, device="cuda")]
        with pytest.raises(RuntimeError, match="one device"):
            there.detach()[torch.tensor([0, 1])] = here[:2]
        with pytest.raises(TypeError, match="to numpy"):
            there.detach().numpy()
        with pytest.raises(RuntimeError, match="generator"):
            torch.rand(3, generator=torch.Generator("cpu"), device="cuda")


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*CUDA is not available")
@pytest.mark.parametrize("name", FAMILIES)
def test_training(name: str, sphere: Path, tmp_path: Path) -> None:
    """In mixed precision, with changes of voxels, occupancy and averages, a validation and a checkpoint."""
    family = find_family(name)
    scene = load_scene(sphere)
    model_config = tiny_model(name).for_scene(scene.bounds, scene.unbounded, scene.up)
    config = tiny_training(name, model_config=model_config, steps_per_epoch=3, exposure=True)
    rays_of_scene, views = training_datasets(scene, batches=config.steps_per_epoch)
    module = family.lightning_module_class()(model_config, config, None)
    trainer = build_trainer(
        module,
        SceneDataModule(rays_of_scene, views),
        gpus=0,
        accelerator="auto",
        strategy=SingleDeviceStrategy(device=CUDA, accelerator=NoDriver()),
        precision="bf16-mixed",
        max_steps=4,
        limit_val_batches=1,
        checkpoint_dir=tmp_path,
        callbacks=[(places := Places())],
        enable_progress_bar=False,
    )
    with pretend_gpu(), without_kernels():
        trainer.fit()
    assert trainer.global_step == 4
    assert places.found == {"model": {CUDA}, "gradients": {CUDA}, "average": {CUDA}}
    assert (tmp_path / "last.ckpt").is_file()


@pytest.mark.slow
@pytest.mark.parametrize("unbounded", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_eval(name: str, unbounded: bool) -> None:
    """Packed and with a fixed budget: what the CPU's PyTorch twin renders, bit for bit."""
    model = tiny_model_of(name, unbounded)
    with without_kernels(), torch.no_grad():
        expected = model(*rays())
        needed = model.samples_needed(*rays())
    budget = int(needed.max())
    with pretend_gpu(), without_kernels(), torch.no_grad():
        moved = copy.deepcopy(model).to("cuda")
        there = [part.to("cuda") for part in rays()]
        got = moved(*there)
        fixed = moved.fixed_budget(budget)(*there)
        assert int(moved.samples_needed(*there).max()) == budget
        for planes in (got, fixed):
            assert all(plane.is_cuda for plane in planes)
    for plane, wanted in zip(got, expected, strict=True):
        assert torch.equal(plane, wanted)
    assert torch.allclose(fixed.rgb, expected.rgb, atol=1e-3)
