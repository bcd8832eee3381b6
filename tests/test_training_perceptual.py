"""LPIPS: equal to torchmetrics' own, and left out with a clear word where it cannot be measured."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from torchmetrics.functional.image import lpips as torchmetrics_lpips

from neurocity.training import perceptual
from neurocity.training.metrics import image_metrics


@pytest.fixture(autouse=True)
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """An empty folder for torch.hub; nothing that was loaded or said before counts."""
    monkeypatch.setattr(torch.hub, "_hub_dir", str(tmp_path))
    for cached in (perceptual._network, perceptual._warn_once):
        cached.cache_clear()
    yield tmp_path
    perceptual._network.cache_clear()


@pytest.fixture
def weights(hub: Path) -> Path:
    """Random weights in the layout of torchvision's file, which has a classifier too."""
    file = perceptual.weights_file()
    file.parent.mkdir()
    assert file.is_relative_to(hub)
    features = perceptual.PerceptualDistance().features.state_dict()
    named = {f"features.{name}": value for name, value in features.items()}
    torch.save({**named, "classifier.1.bias": torch.zeros(4)}, file)
    return file


def images(side: int = 40) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.rand(side, side + 3, 3, generator=generator), torch.rand(
        side, side + 3, 3, generator=generator
    )


def test_it_is_what_torchmetrics_computes(weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their heads, scaling and sums over the same backbone, which they would take from torchvision."""
    backbone = perceptual.PerceptualDistance()
    backbone.load(weights)
    monkeypatch.setattr(torchmetrics_lpips, "_get_tv_model_features", lambda *_: backbone.features)
    theirs = torchmetrics_lpips._LPIPS(net="alex")
    image, truth = images()
    planes = [picture.permute(2, 0, 1)[None] for picture in (image, truth)]
    with torch.no_grad():
        expected = float(theirs(*planes, normalize=True))
    assert expected > 1e-3
    assert perceptual.lpips(image, truth) == pytest.approx(expected, rel=1e-4)
    assert perceptual.lpips(image, image) == 0.0
    assert image_metrics(image, truth)["lpips"] == pytest.approx(expected, rel=1e-4)


def test_the_smallest_images(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert weights.is_file()
    assert perceptual.lpips(*images(31)) is not None
    assert caplog.messages == []
    assert perceptual.lpips(*images(30)) is None
    assert caplog.messages == ["LPIPS is left out: needs images of at least 31x31 pixels, got 33x30"]


def test_missing_weights_are_said_once_and_the_others_are_measured(
    hub: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            assert image_metrics(*images()).keys() == {"psnr", "ssim"}
    (message,) = caplog.messages
    assert perceptual.WEIGHTS_FILE in message
    assert str(hub / "checkpoints" / "alexnet-owt-7be5be79.pth") in message
    assert "TORCH_HOME" in message


def test_damaged_weights_are_no_crash(weights: Path, caplog: pytest.LogCaptureFixture) -> None:
    weights.write_bytes(weights.read_bytes()[:1000])
    assert perceptual.lpips(*images()) is None
    assert perceptual.lpips(*images()) is None
    (message,) = caplog.messages
    assert f"{weights} cannot be read as AlexNet's weights" in message
