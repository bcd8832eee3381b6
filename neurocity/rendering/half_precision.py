"""Half precision by role: tables and networks may be float16, geometry and transmittance stay float32."""

from torch import nn

from neurocity.rendering.mlp import MLP


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
