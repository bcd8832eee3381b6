"""Small multilayer perceptrons without biases."""

from itertools import pairwise

from torch import Tensor, nn


class MLP(nn.Module):
    """ReLU network [N, widths[0]] -> [N, widths[-1]]; Xavier-uniform, no biases (Instant-NGP)."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inputs, outputs in pairwise(widths):
            linear = nn.Linear(inputs, outputs, bias=False)
            nn.init.xavier_uniform_(linear.weight)
            layers += [linear, nn.ReLU(inplace=True)]
        self.layers = nn.Sequential(*layers[:-1])

    def forward(self, inputs: Tensor) -> Tensor:
        outputs: Tensor = self.layers(inputs)
        return outputs
