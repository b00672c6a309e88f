"""Tensor: an array, its gradient, and the node that made it."""

from __future__ import annotations

import weakref
from typing import TYPE_CHECKING, Any

import numpy as np

from ._device import array_namespace, device_of, is_array, to_device, to_numpy
from ._pytorch_names import TENSOR, proposal_for, unknown_argument, unknown_name

if TYPE_CHECKING:
    from . import ops
    from ._autograd import Node


class Tensor:
    """An n-dimensional array whose operations can be differentiated.

    `data` is an array (kept as it is, memory shared), or numbers and lists of them, which become float32 unless `dtype`
    says otherwise. `.data` is the array, `.grad` the gradient that `backward()` has added up (a Tensor, or None).
    Operations on Tensors return Tensors; what changes a Tensor in place is refused where a gradient is being recorded.
    Writes to `.data` and to `.numpy()` share memory with the Tensor and cannot be seen by the engine.

    >>> x = Tensor([1.0, 2.0, 3.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4., 6.])
    """

    __slots__ = ("__weakref__", "_node", "_requires_grad", "data", "grad")
    __array_ufunc__ = None  # so that array + Tensor reaches Tensor.__radd__
    data: Any
    grad: Tensor | None
    _node: Node | None

    def __init__(self, data: Any, requires_grad: bool = False, device: str | None = None, dtype: Any = None):
        if requires_grad is not False and not isinstance(requires_grad, (bool, np.bool_)):
            raise TypeError(
                f"Tensor: requires_grad expects True or False; it is {requires_grad!r}. "
                "A Tensor of zeros is Tensor(np.zeros((2, 3), np.float32))"
            )
        if isinstance(data, Tensor):
            data = data.data
        if is_array(data) or isinstance(data, np.generic):
            array = data if dtype is None and is_array(data) else array_namespace(data).asarray(data, dtype=dtype)
        else:
            array = _from_python(data, np.dtype(np.float32 if dtype is None else dtype))
        if array.dtype.kind not in "fiub":
            raise TypeError(f"Tensor: data expects floating, integer or boolean values; it is of type {array.dtype}")
        self.data = array if device is None else to_device(array, device)
        self.grad = None
        self._node = None
        self._requires_grad = False
        if requires_grad:
            self.requires_grad = True

    # ---- what it is

    @property
    def requires_grad(self) -> bool:
        """Whether operations on this Tensor record, so that a gradient can be taken with respect to it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        if value and self.data.dtype.kind != "f":
            raise TypeError(
                f"requires_grad: only floating Tensors can have a gradient; this one is of type {self.dtype}"
            )
        if not value and self._node is not None:
            raise RuntimeError(
                "requires_grad: this Tensor was computed from one that requires a gradient; use detach()"
            )
        self._requires_grad = bool(value)

    @property
    def is_leaf(self) -> bool:
        """Whether the user made it, rather than a recorded operation."""
        return self._node is None

    @property
    def shape(self) -> tuple[int, ...]:
        return self.data.shape

    @property
    def ndim(self) -> int:
        return self.data.ndim

    @property
    def size(self) -> int:
        """The number of elements, as in NumPy; the sizes along the axes are `shape`."""
        return self.data.size

    @property
    def dtype(self) -> np.dtype:
        return self.data.dtype

    @property
    def device(self) -> str:
        return device_of(self.data)

    @property
    def T(self) -> Tensor:
        """The axes in reverse order."""
        return self.permute(*reversed(range(self.ndim)))

    def numel(self) -> int:
        return self.data.size

    def dim(self) -> int:
        return self.data.ndim

    if not TYPE_CHECKING:  # a type checker knows what there is

        def __getattr__(self, name: str):
            if name.startswith("__"):  # NumPy asks for several of its protocols before the one that there is
                raise AttributeError(name)
            raise _unknown_attribute(self, name)

    def __len__(self) -> int:
        if self.ndim == 0:
            raise TypeError("len: a Tensor of shape () has no length")
        return self.data.shape[0]

    def __repr__(self) -> str:
        notes = "" if self.dtype == np.float32 else f", dtype={self.dtype}"
        notes += "" if self.device == "cpu" else f", device={self.device!r}"
        if self._node is not None:
            notes += f", made by {self._node.operation.__name__}"
        elif self._requires_grad:
            notes += ", requires_grad=True"
        return (
            "Tensor("
            + np.array2string(to_numpy(self.data), separator=", ", prefix="Tensor(", threshold=200)
            + notes
            + ")"
        )

    def __bool__(self) -> bool:
        return bool(self._single("bool"))

    def __float__(self) -> float:
        return float(self._single("float"))

    def __int__(self) -> int:
        return int(self._single("int"))

    def __index__(self) -> int:
        if self.dtype.kind not in "iu":
            raise TypeError(f"index: only an integer Tensor can be an index; this one is of type {self.dtype}")
        return int(self._single("index"))

    def __format__(self, spec: str) -> str:
        """A single element as a number, `f"{loss:.3f}"`; without a specification as `str`."""
        return format(self._single(f"format {spec!r}"), spec) if spec else str(self)

    def item(self) -> Any:
        """The only element as a Python number."""
        return self._single("item")

    def _single(self, name: str) -> Any:
        if self.data.size != 1:
            raise ValueError(f"{name}: expects a Tensor with one element; it has shape {self.shape}")
        return self.data.item()

    def tolist(self) -> Any:
        return self.data.tolist()

    __hash__ = object.__hash__

    # ---- to and from other libraries

    def numpy(self) -> np.ndarray:
        """The values as a NumPy array. On the CPU it shares memory; the engine does not see what is written to it."""
        return to_numpy(self.data)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __dlpack__(self, **options: Any) -> Any:
        return self.data.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()

    def __reduce__(self) -> Any:
        if self._node is not None:
            raise RuntimeError(
                "copy: a Tensor made by an operation cannot be copied with its graph; use detach() or clone()"
            )
        return _rebuild, (type(self), self.data.copy(), self._requires_grad)

    def detach(self) -> Tensor:
        """The same values (memory shared) cut off from the graph."""
        return Tensor(self.data)

    def to(self, device: Any = None, dtype: Any = None) -> Tensor:
        """On another device, of another dtype, or both: `x.to("cuda")`, `x.to(np.float64)`. Differentiable."""
        if device is not None and not (
            isinstance(device, str) and device.partition(":")[0] in ("cpu", "cuda", "cuda-sim")
        ):
            if dtype is not None:
                raise ValueError(f"to: device expects 'cpu' or 'cuda'; it is {device!r}")
            try:
                device, dtype = None, np.dtype(device)
            except TypeError:
                raise ValueError(f"to: expects a device, 'cpu' or 'cuda', or a dtype; it is {device!r}") from None
        result = self
        if dtype is not None and np.dtype(dtype) != self.dtype:
            result = ops.astype(result, np.dtype(dtype))
        if device is not None and device != self.device:
            result = ops.to_device(result, device)
        return result

    def astype(self, dtype: Any) -> Tensor:
        return self.to(dtype=dtype)

    def float(self) -> Tensor:
        return self.to(dtype=np.float32)

    def double(self) -> Tensor:
        return self.to(dtype=np.float64)

    def cpu(self) -> Tensor:
        return self.to("cpu")

    # ---- gradients

    def backward(self, upstream: Any = None, retain_graph: bool = False, create_graph: bool = False) -> None:
        """Add the gradient of this Tensor to `.grad` of each leaf: see `minitorch_cv.backward`."""
        from ._autograd import backward

        backward(self, upstream, retain_graph=retain_graph, create_graph=create_graph)

    def retain_grad(self) -> None:
        """Let `backward()` fill `.grad` of this Tensor too, although it is no leaf."""
        if not self._requires_grad:
            raise RuntimeError("retain_grad: this Tensor does not require a gradient")
        if self._node is not None:
            self._node.retained = weakref.ref(self)

    def requires_grad_(self, value: bool = True) -> Tensor:
        self.requires_grad = value
        return self

    # ---- changes in place

    def _writable(self, name: str) -> Any:
        from ._autograd import mark_changed, mode

        if self._requires_grad and mode.recording:
            raise RuntimeError(
                f"{name}: this Tensor requires a gradient and cannot be changed in place while gradients are recorded; "
                "make a new one, or change it within no_grad()"
            )
        mark_changed(self.data)
        return self.data

    def __setitem__(self, index: Any, value: Any) -> None:
        self._writable("item assignment")[_plain_index(index)] = _plain(value)

    def copy_(self, value: Any) -> Tensor:
        value = _plain(value)
        if np.shape(value) != self.shape:
            raise ValueError(f"copy_: value expects shape {self.shape}; it is {np.shape(value)}")
        self._writable("copy_")[...] = value
        return self

    def fill_(self, value: Any) -> Tensor:
        self._writable("fill_")[...] = _plain(value)
        return self

    def zero_(self) -> Tensor:
        self._writable("zero_")[...] = 0
        return self

    def add_(self, value: Any) -> Tensor:
        data = self._writable("add_")
        data += _plain(value)
        return self

    def mul_(self, value: Any) -> Tensor:
        data = self._writable("mul_")
        data *= _plain(value)
        return self

    # ---- arithmetic

    def __add__(self, other: Any) -> Tensor:
        return ops.add(self, other)

    __radd__ = __add__

    def __sub__(self, other: Any) -> Tensor:
        return ops.subtract(self, other)

    def __rsub__(self, other: Any) -> Tensor:
        return ops.subtract(other, self)

    def __mul__(self, other: Any) -> Tensor:
        return ops.multiply(self, other)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Tensor:
        return ops.divide(self, other)

    def __rtruediv__(self, other: Any) -> Tensor:
        return ops.divide(other, self)

    def __pow__(self, exponent: Any) -> Tensor:
        return ops.power(self, exponent)

    def __rpow__(self, base: Any) -> Tensor:
        return ops.power(base, self)

    def __matmul__(self, other: Any) -> Tensor:
        return ops.matmul(self, other)

    def __rmatmul__(self, other: Any) -> Tensor:
        return ops.matmul(other, self)

    def __neg__(self) -> Tensor:
        return ops.negative(self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return self.abs()

    # ---- comparison: booleans, without a gradient

    def __eq__(self, other: Any) -> Any:
        return _compare(np.ndarray.__eq__, self, other)

    def __ne__(self, other: Any) -> Any:
        return _compare(np.ndarray.__ne__, self, other)

    def __lt__(self, other: Any) -> Any:
        return _compare(np.ndarray.__lt__, self, other)

    def __le__(self, other: Any) -> Any:
        return _compare(np.ndarray.__le__, self, other)

    def __gt__(self, other: Any) -> Any:
        return _compare(np.ndarray.__gt__, self, other)

    def __ge__(self, other: Any) -> Any:
        return _compare(np.ndarray.__ge__, self, other)

    def __invert__(self) -> Tensor:
        return Tensor(~self.data)

    def __and__(self, other: Any) -> Tensor:
        return Tensor(self.data & _plain(other))

    __rand__ = __and__

    def __or__(self, other: Any) -> Tensor:
        return Tensor(self.data | _plain(other))

    __ror__ = __or__

    # ---- indexing

    def __getitem__(self, index: Any) -> Tensor:
        return ops.getitem(self, _plain_index(index))

    def __iter__(self) -> Any:
        return (self[i] for i in range(len(self)))

    # ---- elementwise

    def exp(self) -> Tensor:
        return ops.exp(self)

    def log(self) -> Tensor:
        return ops.log(self)

    def sqrt(self) -> Tensor:
        return ops.sqrt(self)

    def abs(self) -> Tensor:
        return ops.abs(self)

    def tanh(self) -> Tensor:
        return ops.tanh(self)

    def sigmoid(self) -> Tensor:
        return ops.sigmoid(self)

    def relu(self) -> Tensor:
        return ops.relu(self)

    def pow(self, exponent: Any) -> Tensor:
        return ops.power(self, exponent)

    def softmax(self, axis: int = -1, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("softmax", unknown)
        return ops.softmax(self, axis)

    def log_softmax(self, axis: int = -1, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("log_softmax", unknown)
        return ops.log_softmax(self, axis)

    def clip(self, min: Any = None, max: Any = None) -> Tensor:
        return ops.clip(self, min, max)

    def where(self, condition: Any, other: Any) -> Tensor:
        """This Tensor where `condition` holds, `other` elsewhere."""
        return ops.where(condition, self, other)

    def masked_fill(self, mask: Any, value: Any) -> Tensor:
        """`value` where `mask` holds, this Tensor elsewhere."""
        return ops.where(mask, value, self)

    # ---- reductions

    def sum(self, axis: Any = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("sum", unknown)
        return ops.sum(self, axis, keepdims)

    def mean(self, axis: Any = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("mean", unknown)
        return ops.mean(self, axis, keepdims)

    def var(self, axis: Any = None, correction: float = 0, keepdims: bool = False, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("var", unknown)
        return ops.var(self, axis, correction, keepdims)

    def std(self, axis: Any = None, correction: float = 0, keepdims: bool = False, **unknown: Any) -> Tensor:
        """The square root of `var`: as in NumPy divided by n, where PyTorch divides by n - 1 (`correction=1`)."""
        if unknown:
            raise unknown_argument("std", unknown)
        return ops.sqrt(ops.var(self, axis, correction, keepdims))

    def all(self, axis: Any = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        """Whether every element is true, or not 0. Booleans, without a gradient."""
        return self._truth("all", axis, keepdims, unknown)

    def any(self, axis: Any = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        """Whether some element is true, or not 0. Booleans, without a gradient."""
        return self._truth("any", axis, keepdims, unknown)

    def _truth(self, name: str, axis: Any, keepdims: bool, unknown: dict[str, Any]) -> Tensor:
        if unknown:
            raise unknown_argument(name, unknown)
        return Tensor(getattr(self.data, name)(axis=ops.reduce.all_axes(name, axis, self.ndim), keepdims=keepdims))

    def max(self, axis: Any = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("max", unknown)
        return ops.max(self, axis, keepdims)

    def min(self, axis: Any = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("min", unknown)
        return ops.min(self, axis, keepdims)

    def argmax(self, axis: int | None = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("argmax", unknown)
        return ops.argmax(self, axis, keepdims)

    def argmin(self, axis: int | None = None, keepdims: bool = False, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("argmin", unknown)
        return ops.argmin(self, axis, keepdims)

    # ---- shape

    def reshape(self, *shape: Any) -> Tensor:
        return ops.reshape(self, _sizes(shape))

    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor:
        return ops.flatten(self, start_dim, end_dim)

    def transpose(self, a: int, b: int) -> Tensor:
        """Axes `a` and `b` swapped, as in PyTorch."""
        return ops.transpose(self, a, b)

    def permute(self, *axes: Any) -> Tensor:
        return ops.permute(self, _sizes(axes))

    def expand(self, *shape: Any) -> Tensor:
        return ops.expand(self, _sizes(shape))

    def squeeze(self, axis: Any = None, **unknown: Any) -> Tensor:
        if unknown:
            raise unknown_argument("squeeze", unknown)
        return ops.squeeze(self, axis)

    def unsqueeze(self, axis: int) -> Tensor:
        return ops.unsqueeze(self, axis)

    def pad(self, pad: Any, mode: str = "constant", value: float = 0.0) -> Tensor:
        """Elements added at the ends of the last axes: see `ops.pad`."""
        return ops.pad(self, pad, mode, value)

    def clone(self) -> Tensor:
        """A copy in memory of its own; differentiable."""
        return ops.clone(self)

    def matmul(self, other: Any) -> Tensor:
        return self @ other


def make(data: Any, node: Node | None) -> Tensor:
    """A Tensor around an operation's result, with no checks."""
    tensor = Tensor.__new__(Tensor)
    tensor.data = data
    tensor.grad = None
    tensor._node = node
    tensor._requires_grad = node is not None
    return tensor


def _from_python(data: Any, dtype: np.dtype) -> np.ndarray:
    try:
        array = np.asarray(data)
        if array.dtype.kind in "fiub":
            return array.astype(dtype)
    except (TypeError, ValueError):
        pass
    raise TypeError(f"Tensor: data expects an array, a number or a list of numbers; it is {data!r}")


def _unknown_attribute(tensor: Tensor, name: str) -> AttributeError:
    if name in TENSOR or not name.endswith("_"):
        proposal = proposal_for(name, TENSOR, ops, "(x)")
    else:
        proposal = None if name.startswith("_") else "x.fill_, x.copy_, x.add_, x.mul_ or x[index] = value"
    return unknown_name(type(tensor).__name__, name, proposal, obj=tensor)


def _rebuild(kind: type, data: Any, requires_grad: bool) -> Tensor:
    return kind(data, requires_grad)


def _plain(value: Any) -> Any:
    return value.data if isinstance(value, Tensor) else value


def _plain_index(index: Any) -> Any:
    """The index with arrays in place of Tensors."""
    if isinstance(index, tuple):
        return tuple(_plain(i) for i in index)
    return _plain(index)


def _compare(operator: Any, a: Tensor, b: Any) -> Any:
    result = operator(a.data, _plain(b))
    return (
        result
        if result is NotImplemented
        else make(np.asarray(result) if isinstance(result, np.generic) else result, None)
    )


def _sizes(shape: tuple) -> tuple:
    """`reshape(2, 3)` and `reshape((2, 3))` mean the same."""
    return tuple(shape[0]) if len(shape) == 1 and isinstance(shape[0], (tuple, list)) else shape
