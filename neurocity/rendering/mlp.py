"""Small multilayer perceptrons without biases, in float32 or float16."""

from itertools import pairwise

import torch
from torch import Tensor, nn

from neurocity.rendering.spherical_harmonics import COEFFICIENTS


class MLP(nn.Module):
    """ReLU network [N, widths[0]] -> [N, widths[-1]]; Xavier-uniform, no biases (Instant-NGP).

    halved: whether weights are float16 (see `halve`); inputs and outputs are float32 all the same.
    """

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            linear = nn.Linear(inputs, outputs, bias=False)
            nn.init.xavier_uniform_(linear.weight)
            layers += [linear, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])
        self.halved = False

    def forward(self, inputs: Tensor) -> Tensor:
        return self.outputs(inputs)

    def outputs(self, inputs: Tensor) -> Tensor:
        """The last layer's [N, widths[-1]] of inputs [N, widths[0]]."""
        outputs: Tensor = self.layers(inputs.half() if self.halved else inputs)
        return outputs.float() if self.halved else outputs

    @torch.jit.unused
    def flat_weights(self) -> Tensor:
        """The weights of all layers, [outputs, inputs] each, one after the other, float32."""
        return torch.cat([weight.flatten() for weight in self.parameters()]).float()


class SkyNet(MLP):
    """What stands behind everything in a scene that is not cut out: a colour by direction.

    Direction basis [R, 16] of `spherical_harmonics` -> sRGB [R, 3] in (0, 1).
    """

    def __init__(self) -> None:
        super().__init__(COEFFICIENTS, 32, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        return torch.sigmoid(self.outputs(inputs))


def halve(*modules: nn.Module) -> None:
    """Keep the parameters of `modules` in float16, and let networks among them compute in it.

    Buffers, such as scales and sizes, stay as they are.
    """
    for module in modules:
        for part in module.modules():
            if isinstance(part, MLP):
                part.halved = True
        for parameter in module.parameters():
            parameter.data = parameter.data.half()
