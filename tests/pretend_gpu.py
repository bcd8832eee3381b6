"""A GPU that is none: tensors computed by the CPU that are treated as if they were on a CUDA device.

Inside `pretend_gpu`, what is made with `device="cuda"` or moved there is on it, and so is what is computed
from that; both say so (`device`, `is_cuda`). As on a real one, operators refuse tensors of both devices, and
`numpy()` refuses those of the GPU. Numbers and gradients are right, as it is the CPU that computes.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU, CUDA = torch.device("cpu"), torch.device("cuda", 0)
_MAY_MIX = ("copy_", "_to_copy", "set_", "set_data")
"""Operators that take tensors of both devices."""
_INDEXED = ("index", "index_put_", "index_put", "_index_put_impl_", "_unsafe_index", "_unsafe_index_put")
"""Operators whose indices may be on the CPU."""


class Marks:
    """The storages that are on the GPU. A weak reference keeps the address from being used anew."""

    def __init__(self) -> None:
        self.storages: dict[int, StorageWeakRef] = {}
        self.looked_at = 0

    def add(self, value: Any) -> None:
        """All tensors in `value` are on the GPU from now on."""
        for tensor in _tensors(value):
            reference = StorageWeakRef(tensor.untyped_storage())
            self.storages[reference.cdata] = reference
        if len(self.storages) > 2 * self.looked_at + 1000:
            self.storages = {key: kept for key, kept in self.storages.items() if not kept.expired()}
            self.looked_at = len(self.storages)

    def __contains__(self, tensor: Tensor) -> bool:
        return tensor.untyped_storage()._cdata in self.storages


class _Generator(torch.Generator):
    """A generator of the CPU that says to be of another device."""

    device: Any = CPU

    def __new__(cls, device: Any = "cpu") -> "_Generator":
        made = super().__new__(cls)
        made.device = torch.device(device)
        return made


def _tensors(value: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(value) if isinstance(leaf, Tensor)]


class _Operators(TorchDispatchMode):
    """Carries marks from inputs to outputs, and refuses inputs of both devices."""

    def __init__(self, marks: Marks) -> None:
        super().__init__()
        self.marks = marks

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        name = func._schema.name.partition("::")[2]
        given = _tensors((args, kwargs))
        on_gpu = [tensor for tensor in given if tensor in self.marks]
        asked = args[:1] if name in _INDEXED else given
        if on_gpu and name not in _MAY_MIX:
            strays = [t for t in _tensors(asked) if t.dim() > 0 and t not in self.marks]
            # Values that are put take no other device either.
            if name in _INDEXED and len(args) > 2:
                strays += [t for t in _tensors(args[2]) if t.dim() > 0 and t not in self.marks]
            if strays:
                raise RuntimeError(f"{func}: expected all tensors on one device, got cuda:0 and cpu")
        generator = kwargs.get("generator")
        result = func(*args, **kwargs)
        if generator is not None and on_gpu and generator.device != CUDA:
            raise RuntimeError(f"{func}: expected a generator of cuda:0, got one of {generator.device}")
        if on_gpu and (name != "copy_" or args[0] in self.marks):
            self.marks.add(result)
        return result


class _Functions(TorchFunctionMode):
    """Answers for the device of tensors, and makes and moves them."""

    def __init__(self, marks: Marks) -> None:
        super().__init__()
        self.marks = marks

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        name = getattr(func, "__name__", "")
        owner = getattr(func, "__self__", None)
        if name == "__get__" and owner in _GETTERS:
            on_gpu = args[0] in self.marks
            return _GETTERS[owner](on_gpu)
        if func is Tensor.numpy and args[0] in self.marks:
            raise TypeError("can't convert cuda:0 device type tensor to numpy")
        if func in (Tensor.to, Tensor.cuda, Tensor.cpu):
            return self._move(func, args, kwargs)
        if func is Tensor.pin_memory:
            return args[0]
        device = kwargs.get("device")
        if device is None or torch.device(device).type != "cuda":
            return func(*args, **kwargs)
        generator = kwargs.get("generator")
        if generator is not None and generator.device.type != "cuda":
            raise RuntimeError(f"{name}: expected a generator of cuda:0, got one of {generator.device}")
        made = func(*args, **{**kwargs, "device": CPU})
        if _tensors(args) and any(t.dim() > 0 and t.numel() and t not in self.marks for t in _tensors(args)):
            raise RuntimeError(f"{name}: made on cuda:0 from tensors of the CPU")
        self.marks.add(made)
        return made

    def _move(self, func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
        tensor, *rest = args
        here = tensor in self.marks
        devices = [torch.device(v) for v in [*rest, *kwargs.values()] if isinstance(v, (str, torch.device))]
        devices += [CUDA if v in self.marks else CPU for v in rest if isinstance(v, Tensor)]
        device = {Tensor.cuda: CUDA, Tensor.cpu: CPU}.get(func, devices[0] if devices else None)
        there = here if device is None else device.type == "cuda"
        # Only the type is left to convert.
        types = [v for v in [*rest, *kwargs.values()] if isinstance(v, torch.dtype)]
        types += [v.dtype for v in rest if isinstance(v, Tensor)]
        dtype = types[0] if types else tensor.dtype
        if there == here:
            return tensor.to(dtype)
        moved = tensor.to(dtype, copy=True)
        if there:
            self.marks.add(moved)
        else:
            self.marks.storages.pop(moved.untyped_storage()._cdata, None)
        return moved


_GETTERS = {
    Tensor.device: lambda on_gpu: CUDA if on_gpu else CPU,
    Tensor.is_cuda: lambda on_gpu: on_gpu,
    Tensor.is_cpu: lambda on_gpu: not on_gpu,
}


@contextmanager
def pretend_gpu() -> Iterator[Marks]:
    """Inside, there is a CUDA device that is none. Yields which tensors are on it."""
    marks = Marks()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(torch, "Generator", _Generator))
        stack.enter_context(_Operators(marks))
        stack.enter_context(_Functions(marks))
        yield marks
