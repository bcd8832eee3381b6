"""What a model family must give, and where it is looked for.

A family is a folder `neurocity/<name>/` with two modules, and a line in `neurocity.families`:

- `core` has the model, a torch module under `@render_model`, and its configuration, a frozen `FieldConfig`;
- `lightning_trainer` has a `RadianceFieldModule` that trains the model, and its configuration, a frozen
  `TrainingConfig`. It alone imports Lightning.

Both configurations are plain data, which a checkpoint carries, and have the presets of `neurocity.presets`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, Protocol, Self, TypeVar, runtime_checkable

if TYPE_CHECKING:
    from torch import Tensor, nn

    from neurocity.kernels.scene import SceneData
    from neurocity.rendering.render import RayRender


class RenderModel(Protocol):
    """What export, serving and training may ask of a family's model; `render_model` has mypy check it.

    R rays are given by origins and unit directions [R, 3], in world units. In eval mode `forward` is the
    render graph of `neurocity.contract`: it survives `torch.jit.script`, `torch.jit.trace`, `torch.export`
    and ONNX export, and a ray's light does not depend on the other rays.

    needs_ray_radii: whether a ray is a cone. `forward` then takes the cones' radii [R, 1] at unit distance as
    an optional third argument, and so do the graphs that `fixed_budget` gives. A radius that is not positive
    stands for the mean of the training cameras'.
    """

    needs_ray_radii: bool

    @property
    def forward(self) -> "Callable[..., RayRender]":
        """Origins [R, 3], directions [R, 3] and, where they are needed, radii [R, 1] -> their render."""

    def __call__(self, *rays: "Tensor") -> "RayRender":
        """`forward`, with the hooks of a torch module."""

    def fixed_budget(self, samples: int) -> "nn.Module":
        """The render graph with at most `samples` samples a ray, which shares this model's parameters.

        No shape in it depends on values. Raises ConfigError for a number that the model cannot take.
        """

    def samples_needed(self, ray_origins: "Tensor", ray_directions: "Tensor") -> "Tensor":
        """How many samples `fixed_budget` needs for rays to lose no light that counts: [R] int64."""

    def sample_budget(self) -> dict[str, float]:
        """What bounds the samples of a ray in the render graph, by names of the family's own."""

    def halve(self) -> None:
        """Keep in float16 what may be: features and networks. Geometry and transmittance stay float32."""

    def to(self, device: str) -> Self:
        """As of every torch module."""

    def eval(self) -> Self:
        """As of every torch module."""


@runtime_checkable
class NativeModel(Protocol):
    """A `RenderModel` that a kernel renders too: the export format `native` takes it."""

    def scene_data(self) -> "SceneData":
        """What the kernel renders this model from, of a kind in `neurocity.kernels.scene.KINDS`.

        Features and networks are float16 where `halve` made them so, else float32.
        """


Model = TypeVar("Model", bound=type[RenderModel])


def render_model(model: Model) -> Model:
    """Decorates a family's model, so that mypy says what of `RenderModel` it lacks; changes nothing."""
    return model


@dataclass(frozen=True)
class Family:
    """Where a family's parts are; they are imported when they are asked for.

    name: the folder's name, also used on command lines and in checkpoints.
    model: class name of the model; its configuration is `<model>Config`, its training is
        `<model>LightningModule` and `<model>LightningConfig`.
    """

    name: str
    model: str

    def model_class(self) -> Any:
        """The torch module that is a `RenderModel`, made from a configuration."""
        return self._part("core", "")

    def config_class(self) -> Any:
        """The frozen dataclass that configures the model."""
        return self._part("core", "Config")

    def lightning_module_class(self) -> Any:
        """The LightningModule that trains the model."""
        return self._part("lightning_trainer", "LightningModule")

    def lightning_config_class(self) -> Any:
        """The frozen dataclass that configures training."""
        return self._part("lightning_trainer", "LightningConfig")

    def _part(self, module: str, suffix: str) -> Any:
        return getattr(import_module(f"neurocity.{self.name}.{module}"), f"{self.model}{suffix}")
