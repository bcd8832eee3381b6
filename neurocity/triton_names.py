"""Names of a render graph's tensors in Triton's `config.pbtxt`, which each backend wants in its own form.

    plain        `rgb`                      onnxruntime, tensorrt
    numbered     inputs plain, `rgb__0`     pytorch, platform pytorch_libtorch: inputs are forward's arguments
    positional   `INPUT__0`, `OUTPUT__0`    pytorch, platform torch_aoti: a package knows places alone

The forms are those of the Triton Inference Server's PyTorch backend. Standard library only.
"""

import re
from collections.abc import Iterable, Sequence
from typing import Literal

from neurocity.contract import TensorSpec

Naming = Literal["plain", "numbered", "positional"]

_POSITIONAL = re.compile(r"(?:INPUT|OUTPUT)__(\d+)")
_NUMBERED = re.compile(r"(.+)__(\d+)")


def input_name(naming: Naming, index: int, name: str) -> str:
    """The name in `config.pbtxt` of input `index`, which the contract calls `name`."""
    return f"INPUT__{index}" if naming == "positional" else name


def output_name(naming: Naming, index: int, name: str) -> str:
    """The name in `config.pbtxt` of output `index`, which the contract calls `name`."""
    forms = {"plain": name, "numbered": f"{name}__{index}", "positional": f"OUTPUT__{index}"}
    return forms[naming]


def by_contract_name(names: Iterable[str], specs: Sequence[TensorSpec]) -> dict[str, str]:
    """Contract name -> the name in `config.pbtxt`, of inputs or outputs `names` in any of the forms.

    specs: what the contract calls them, in order. What is none of them is left out.
    """
    known = [spec.name for spec in specs]
    found = {}
    for name in names:
        if positional := _POSITIONAL.fullmatch(name):
            index = int(positional[1])
            contract = known[index] if index < len(known) else ""
        else:
            numbered = _NUMBERED.fullmatch(name)
            contract = numbered[1] if numbered else name
        if contract in known:
            found[contract] = name
    return found


def index_in(name: str) -> int | None:
    """The place in the returned tuple that a numbered or positional name tells; None for a plain one."""
    numbered = _NUMBERED.fullmatch(name)
    return int(numbered[2]) if numbered else None
