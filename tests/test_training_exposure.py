"""Exposure of photographs: the affine maps, what they learn, and that nothing but training knows of them."""

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fixtures_training import train_instant_ngp
from PIL import Image
from tiny_families import tiny_training
from training_states import checkpoint_of, differences, state

from neurocity.checkpoint import load_checkpoint, read_content
from neurocity.data.datasets import training_datasets
from neurocity.data.load import load_scene
from neurocity.errors import ConfigError
from neurocity.families import FAMILIES, find_family
from neurocity.svraster.trainer import SVRasterTrainerConfig
from neurocity.training import exposure as exposures
from neurocity.training.api import train_any_model
from neurocity.training.exposure import Exposure

STOP = np.log(2.0) / 2.2
"""What a stop adds to the logarithm of a colour that is encoded with a gamma of 2.2."""
TRAINING = {"steps_per_epoch": 8, "occupancy_interval": 4, "occupancy_warmup": 8, "exposure": True}


def exposure_of(logarithms: torch.Tensor) -> Exposure:
    exposure = Exposure()
    exposure.begin(len(logarithms))
    exposure.logarithms.data.copy_(logarithms)
    return exposure


def trained(family: str, data: Path, **changes: Any) -> Any:
    rays, views = training_datasets(load_scene(data), batches=5)
    return train_any_model(
        family,
        lightning_config=tiny_training(family, gradient_clip_val=None, **changes),
        train_dataset=rays,
        val_dataset=views,
        max_epochs=2,
        gpus=0,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
    )


def test_maps_are_gains_and_offsets_by_hand() -> None:
    logarithms = torch.zeros(2, 3, 4)
    logarithms[0, 0, 0] = 2.0 * np.log(2.0)  # red twice and half as bright, once the mean is taken away
    logarithms[1, 2, 3] = 0.4  # blue 0.2 less and 0.2 more
    rgb, opacity = torch.tensor([[0.1, 0.2, 0.3]] * 2), torch.tensor([0.5, 0.5])
    light = exposure_of(logarithms)(rgb, opacity, torch.tensor([0, 1]))
    torch.testing.assert_close(light, torch.tensor([[0.2, 0.2, 0.2], [0.05, 0.2, 0.4]]))


def test_maps_are_exponentials_whose_mean_logarithm_is_zero() -> None:
    logarithms = 0.3 * torch.randn(5, 3, 4)
    exposure = exposure_of(logarithms)
    centered = np.zeros((5, 4, 4))
    centered[:, :3] = (logarithms - logarithms.mean(0)).numpy()
    term, total = np.eye(4), np.eye(4)
    for order in range(1, 20):
        term = term @ centered / order
        total = total + term
    np.testing.assert_allclose(exposure.maps().detach().numpy(), total[:, :3], atol=1e-6)
    shifted = exposure_of(logarithms + torch.randn(3, 4))
    torch.testing.assert_close(shifted.maps(), exposure.maps())
    colors, views = torch.rand(40, 3), torch.arange(40) % 5
    back = exposure(exposure.neutral(colors, views), torch.ones(40), views)
    torch.testing.assert_close(back.detach(), colors)


def test_gains_are_learnt_and_the_mean_stays() -> None:
    """Of colours that are known, whose photographs are one stop too bright to one too dark, and yellower."""
    exposure = Exposure()
    exposure.begin(9)
    gains = torch.linspace(-STOP, STOP, 9)[:, None] + 0.1 * torch.randn(9, 1) * torch.tensor([1.0, 0.0, -1.0])
    optimizer = torch.optim.Adam([exposure.parameter_group()])
    for _ in range(400):
        rgb, views = torch.rand(500, 3), torch.randint(9, (500,))
        error = exposure(rgb, torch.ones(500), views) - rgb * gains[views].exp()
        optimizer.zero_grad()
        (error.square().mean() + exposure.penalty()).backward()
        optimizer.step()
    maps = exposure.maps().detach()
    learnt = maps.diagonal(dim1=1, dim2=2).log()
    assert float((learnt - (gains - gains.mean(0))).abs().max()) < 0.05
    assert float(learnt.mean(0).abs().max()) < 0.01
    assert float(maps[:, :, 3].abs().max()) < 0.03


@pytest.mark.parametrize("family", FAMILIES)
def test_identities_change_nothing(family: str, sphere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """To the last bit; and what learns them is in every family's training."""
    without = trained(family, sphere)
    assert not any("exposure" in name for name in without.state_dict())
    learning = trained(family, sphere, exposure=True)
    assert learning.exposure.logarithms.shape == (18, 3, 4)
    assert bool((learning.exposure.logarithms != 0.0).any(dim=(1, 2)).all()), "of every photograph"
    monkeypatch.setattr(exposures, "LEARNING_RATE", 0.0)
    frozen = trained(family, sphere, exposure=True)
    assert differences(without.model.state_dict(), frozen.model.state_dict()) == []
    assert differences(without.model.state_dict(), learning.model.state_dict()) != []


@pytest.fixture(scope="module")
def uninterrupted(sphere: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("uninterrupted")
    train_instant_ngp(sphere, out, training=TRAINING, max_steps=16)
    return out


def test_a_resumed_run_goes_on_exactly(uninterrupted: Path, sphere: Path, tmp_path: Path) -> None:
    resumed = train_instant_ngp(
        sphere, tmp_path, training=TRAINING, max_steps=16, resume=checkpoint_of(uninterrupted, 8)
    )
    whole = state(uninterrupted / "checkpoints" / "last.ckpt")
    assert differences(whole, state(resumed)) == []
    assert whole["state_dict"]["exposure.logarithms"].shape == (18, 3, 4)


def test_a_checkpoint_opens_without_it(uninterrupted: Path) -> None:
    path = uninterrupted / "checkpoints" / "last.ckpt"
    model = load_checkpoint(path).model
    assert isinstance(model, torch.nn.Module)
    assert not any("exposure" in name for name in model.state_dict())
    module = find_family("instant_ngp").lightning_module_class().load_from_checkpoint(path)
    kept = read_content(path)["state_dict"]["exposure.logarithms"]
    assert torch.equal(module.exposure.logarithms, kept)


def test_a_run_goes_on_as_it_began(uninterrupted: Path, sphere: Path, tmp_path: Path) -> None:
    before = checkpoint_of(uninterrupted, 8)
    changed = {**TRAINING, "exposure": False}
    with pytest.raises(ConfigError, match="exposure: got False, but the checkpoint was trained with True"):
        train_instant_ngp(sphere, tmp_path / "off", training=changed, max_steps=16, resume=before)
    fewer = tmp_path / "fewer"
    shutil.copytree(sphere, fewer)
    document = json.loads((fewer / "transforms_train.json").read_text())
    document["frames"].pop()
    (fewer / "transforms_train.json").write_text(json.dumps(document))
    with pytest.raises(ConfigError, match="learnt of 18 training photographs, the data now have 17"):
        train_instant_ngp(fewer, tmp_path / "fewer_run", training=TRAINING, max_steps=16, resume=before)


def test_the_classic_loop_refuses_it() -> None:
    with pytest.raises(ConfigError, match="SVRasterLightningModule learns it"):
        SVRasterTrainerConfig(exposure=True)


@pytest.mark.nightly
@pytest.mark.slow
def test_a_capture_with_changing_exposure_trains_better(toy_200: Path, tmp_path: Path) -> None:
    """At least 1 dB on held-out photographs as they were taken, and the gains are those that were put in."""
    data = tmp_path / "data"
    shutil.copytree(toy_200, data)
    document = json.loads((data / "transforms_train.json").read_text())
    paths = [data / frame["file_path"] for frame in document["frames"]]
    stops = np.random.default_rng(0).permutation(np.linspace(-1.0, 1.0, len(paths)))
    for path, stop in zip(paths, stops, strict=True):
        pixels = np.asarray(Image.open(path).convert("RGB")) * np.exp(STOP * stop)
        Image.fromarray(np.rint(pixels.clip(0.0, 255.0)).astype(np.uint8)).save(path, quality=98)
    scene = load_scene(data, downscale=4)
    rays, views = training_datasets(scene, batches=250)
    family = find_family("instant_ngp")
    modules = [
        train_any_model(
            "instant_ngp",
            model_config=family.config_class()
            .preset("cpu")
            .for_scene(scene.bounds, scene.unbounded, scene.up),
            lightning_config=family.lightning_config_class().preset("cpu", exposure=exposure),
            train_dataset=rays,
            val_dataset=views,
            max_epochs=1,
            gpus=0,
            logger=False,
            enable_checkpointing=False,
            enable_progress_bar=False,
        )
        for exposure in (False, True)
    ]
    without, learnt = (module.validation_metrics["val/psnr"] for module in modules)
    assert learnt > without + 1.0
    gray = torch.tensor([0.4, 0.4, 0.4, 1.0])
    gains = (modules[1].exposure.maps().detach() @ gray / 0.4).log().mean(1).numpy()
    assert np.corrcoef(gains, stops)[0, 1] > 0.9
