"""Small multilayer perceptrons without biases."""

from itertools import pairwise

import torch
from torch import Tensor, nn


class MLP(nn.Module):
    """ReLU network [N, widths[0]] -> [N, widths[-1]]; Xavier-uniform, no biases (Instant-NGP).

    halved: whether weights are float16 (see `half_precision`); inputs and outputs are float32 all the same.
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
        if self.halved:
            outputs: Tensor = self.layers(inputs.half()).float()
            return outputs
        outputs = self.layers(inputs)
        return outputs

    @torch.jit.unused
    def flat_weights(self) -> Tensor:
        """The weights of all layers, [outputs, inputs] each, one after the other, float32."""
        return torch.cat([weight.flatten() for weight in self.parameters()]).float()
