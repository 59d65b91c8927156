"""A simulated CUDA device: CPU tensors that refuse all operations that tensors of a GPU refuse.

It tests without a GPU whether a computation keeps its tensors on the requested device. A tensor "on
cuda:0" is a CPU tensor of another type. It reports the device cuda:0, does not mix with tensors of
other devices, gives no address to compiled code and no view to NumPy, and takes random numbers only
from a generator of its device. All arithmetic is that of the CPU, so that results can be compared
bit by bit.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_leaves, tree_map

CUDA = torch.device("cuda", 0)
#: Copies between devices are what these are for.
_MOVES = {"copy_", "to", "cpu"}
#: An index may lie on the CPU, whatever it is an index of; not the other way round.
_INDEXING = {"__getitem__", "__setitem__"}


class _There(Tensor):
    """A tensor that is said to be on the device."""

    __torch_function__ = torch._C._disabled_torch_function_impl


class _Generator(torch.Generator):
    """A generator that remembers where it was asked to be."""

    def __new__(cls, device: Any = "cpu") -> Any:
        self = super().__new__(cls, device="cpu")
        self._where = torch.device(device)
        return self

    @property
    def device(self) -> torch.device:
        """Where it was asked to be."""
        return self._where


def _wrap(value: Any) -> Any:
    is_plain = isinstance(value, Tensor) and not isinstance(value, _There)
    return value.as_subclass(_There) if is_plain else value


def _is_cuda(device: Any) -> bool:
    """Whether an argument names a CUDA device."""
    return isinstance(device, torch.device | str) and str(device).startswith("cuda")


def _here(value: Any) -> Any:
    """An argument as the CPU may be given it."""
    if isinstance(value, _There):
        return value.as_subclass(Tensor)
    return torch.device("cpu") if _is_cuda(value) else value


def _stays(name: str, args: Any, kwargs: Any, any_there: bool) -> bool:
    """Whether the result of a function lies on the device."""
    if name == "cpu":
        return False
    if name == "copy_":
        return isinstance(args[0], _There)
    asked = [kwargs["device"]] if kwargs.get("device") is not None else []
    if name == "to":
        asked += [leaf for leaf in args[1:] if isinstance(leaf, torch.device | str)]
        others = [leaf for leaf in args[1:] if isinstance(leaf, Tensor)]
        asked += [CUDA if isinstance(other, _There) else "cpu" for other in others]
    return any(map(_is_cuda, asked)) if asked else any_there


class _Device(TorchFunctionMode):
    """Sees every function of torch that is called while it is on."""

    def __init__(self) -> None:
        super().__init__()
        #: Functions that ran on the device.
        self.seen: set[str] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.device:
            return func(*args, **kwargs)
        leaves, name = tree_leaves((args, kwargs)), func.__name__
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        there = [tensor for tensor in tensors if isinstance(tensor, _There)]
        owner = getattr(func, "__self__", None)
        if name == "__get__" and there and owner in (Tensor.device, Tensor.is_cuda):
            return CUDA if owner is Tensor.device else True
        self._check(name, args, tensors, there, kwargs)
        arguments, options = tree_map(_here, (args, kwargs))
        result = func(*arguments, **options)
        if not _stays(name, args, kwargs, bool(there)):
            return result
        self.seen.add(name)
        if name == "to" and not isinstance(args[0], _There):
            result = result.clone()  # a move is a copy, whatever the memory behind it
        return tree_map(_wrap, result)

    def _check(self, name: str, args: Any, tensors: Any, there: Any, kwargs: Any) -> None:
        """What CUDA would refuse."""
        mixed = there and len(there) < len(tensors)
        if mixed and name in _INDEXING:
            mixed = not isinstance(args[0], _There)
        elif mixed and name not in _MOVES:
            # A number may lie on the CPU, but then nothing is written into it.
            elsewhere = [t for t in tensors if not isinstance(t, _There)]
            writes = name.endswith("_") and not name.startswith("_")
            mixed = any(t.dim() > 0 for t in elsewhere) or name in ("stack", "cat")
            mixed = mixed or (writes and not isinstance(args[0], _There))
        else:
            mixed = False
        if mixed:
            raise RuntimeError(f"{name} of tensors on cuda:0 and on the CPU")
        if there and name in ("numpy", "__array__", "data_ptr", "untyped_storage"):
            raise TypeError(f"can't {name} a tensor on cuda:0; use Tensor.cpu() first")
        random = kwargs.get("generator")
        if random is not None:
            place = "cuda" if there or _is_cuda(kwargs.get("device")) else "cpu"
            if random.device.type != place:
                raise RuntimeError(f"{name} on {place} with a generator on {random.device}")


@contextmanager
def fake_cuda(monkeypatch: Any) -> Any:
    """A machine with one CUDA device; yields what it has seen."""
    monkeypatch.setattr(torch, "Generator", _Generator)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device=None: (2**34, 2**34))
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device=None: "fake")
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device=None: None)
    with _Device() as device:
        yield device
