"""PyTorch's names for what is written otherwise here: what the errors about unknown names and arguments propose."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from typing import Any

PACKAGE: dict[str, str] = {
    **dict.fromkeys(("tensor", "as_tensor", "from_numpy"), "mt.Tensor(data)"),
    **{
        name: f"mt.Tensor(np.{name}(...)), with dtype=np.float32"
        for name in ("zeros", "ones", "empty", "full", "eye", "linspace", "arange")
    },
    **{
        name: f"mt.Tensor(np.{name}(x.numpy()))"
        for name in ("zeros_like", "ones_like", "isnan", "isfinite", "round", "floor", "sort", "argsort", "cumsum")
    },
    "rand": "mt.Tensor(mt.Generator(seed).random(shape))",
    "randn": "mt.Tensor(mt.Generator(seed).normal(shape))",
    "randint": "mt.Tensor(mt.Generator(seed).integers(low, high, shape))",
    "randperm": "mt.Generator(seed).permutation(n)",
    "bernoulli": "mt.Generator(seed).bernoulli(p, shape)",
    "seed": "mt.manual_seed(seed)",
    **dict.fromkeys(("cat", "concat"), "mt.concatenate(tensors, axis)"),
    **dict.fromkeys(("mm", "bmm", "dot"), "a @ b"),
    "mul": "a * b",
    "sub": "a - b",
    "div": "a / b",
    "neg": "-x",
    "pow": "x ** exponent",
    "clamp": "mt.ops.clip(x, min, max)",
    "gather": "mt.ops.take_along_axis(x, indices, axis)",
    "std": "x.std(axis)",
    "all": "x.all(axis)",
    "any": "x.any(axis)",
    "allclose": "np.allclose(a.numpy(), b.numpy())",
    "equal": "np.array_equal(a.numpy(), b.numpy())",
    "is_tensor": "isinstance(x, mt.Tensor)",
    "save": "mt.save_weights(net, path), or mt.training.save_checkpoint(path, state) for a run",
    "load": "mt.load_weights(net, path), or mt.training.load_checkpoint(path) for a run",
    **{name: f"np.{name}" for name in ("float32", "float64", "int64", "int32", "uint8")},
    "float": "np.float32",
    "double": "np.float64",
    "long": "np.int64",
    "int": "np.int32",
    "bool": "np.bool_",
    "device": 'a string: x.to("cuda"), net.to("cuda")',
    "cuda": 'x.to("cuda"), net.to("cuda")',
    "autograd": "mt.grad(y, xs), mt.backward(y), mt.op for operations of your own",
    "inference_mode": "mt.no_grad()",
    "utils": "mt.data.DataLoader, mt.optim.clip_grad_norm_",
}

NN: dict[str, str] = {
    "functional": "mt.ops",
    "utils": "mt.optim.clip_grad_norm_(net.parameters(), max_norm)",
    "BCELoss": "mt.nn.BCEWithLogitsLoss(), on what is given to the sigmoid",
    **dict.fromkeys(("SmoothL1Loss", "HuberLoss"), "mt.ops.smooth_l1_loss(x, target)"),
    "MultiheadAttention": "mt.ops.scaled_dot_product_attention(q, k, v)",
    "Conv1d": "mt.nn.Conv2d(in_channels, out_channels, (1, k)), on x[:, :, None]",
    "UpsamplingNearest2d": 'mt.nn.Upsample(scale_factor=2, mode="nearest")',
    "UpsamplingBilinear2d": 'mt.nn.Upsample(scale_factor=2, mode="bilinear", align_corners=True)',
}

OPTIM: dict[str, str] = {
    "lr_scheduler": "mt.optim.StepLR, mt.optim.CosineAnnealingLR and so on",
    "swa_utils": "mt.optim.ExponentialMovingAverage",
}

TENSOR: dict[str, str] = {
    **dict.fromkeys(("add", "sub", "mul", "div"), "the operators: x + y, x - y, x * y, x / y"),
    **dict.fromkeys(("eq", "ne", "lt", "le", "gt", "ge"), "the operators: x == y, x < y and so on"),
    **dict.fromkeys(("mm", "bmm", "dot", "mv"), "x @ y"),
    "t": "x.T",
    "neg": "-x",
    "square": "x * x",
    "norm": "(x * x).sum() ** 0.5",
    "clamp": "x.clip(min, max)",
    "cuda": 'x.to("cuda")',
    "is_cuda": 'x.device == "cuda"',
    "type": "x.to(dtype), or x.dtype",
    "long": "x.to(np.int64)",
    "int": "x.to(np.int32)",
    "bool": "x.to(np.bool_)",
    "byte": "x.to(np.uint8)",
    "view_as": "x.reshape(y.shape)",
    "reshape_as": "x.reshape(y.shape)",
    "expand_as": "x.expand(y.shape)",
    "type_as": "x.to(y.dtype)",
    "ravel": "x.flatten()",
    **dict.fromkeys(("swapaxes", "swapdims"), "x.transpose(a, b)"),
    **dict.fromkeys(("repeat", "tile"), "mt.concatenate([x] * n, axis), or x.expand(shape)"),
    "gather": "mt.ops.take_along_axis(x, indices, axis)",
    **dict.fromkeys(
        ("split", "chunk", "narrow", "select", "index_select", "masked_select"), "an index: x[a:b], x[mask]"
    ),
    "unbind": "list(x)",
    "contiguous": "x: layout in memory is looked after",
    "copy": "x.clone()",
    "nelement": "x.numel()",
    "ndimension": "x.dim()",
    "is_floating_point": 'x.dtype.kind == "f"',
    "grad_fn": "mt.graph(x), which draws it",
    "register_hook": "x.retain_grad(), or a module's register_forward_hook",
    **dict.fromkeys(("uniform_", "normal_"), "mt.nn.init"),
    **{
        name: f"np.{name}(x.numpy())"
        for name in ("isnan", "isfinite", "round", "floor", "ceil", "sign", "sort", "argsort", "cumsum", "unique")
    },
}


def unknown_name(owner: str, name: str, proposal: str | None, **found_in: Any) -> AttributeError:
    """The error for a name that `owner` does not have; without a proposal Python looks for a similar name itself."""
    if proposal is None:
        return AttributeError(f"{owner} has no attribute {name!r}", name=name, **found_in)
    return AttributeError(f"{owner} has no attribute {name!r}; write {proposal}")


def unknown_argument(function: str, given: Collection[str], known: Iterable[str] = ()) -> TypeError:
    """The error for arguments that a function does not have."""
    if not {"dim", "keepdim"}.isdisjoint(given):
        advice = "; use axis= and keepdims=, as in NumPy"
    elif not {"out", "dtype", "ddof", "initial"}.isdisjoint(given):
        advice = "; NumPy's own functions take x.numpy()"
    else:
        advice = f"; there are {', '.join(known)}" if known else ""
    return TypeError(f"{function}: there is no argument {', '.join(given)}{advice}")


def proposal_for(name: str, names: Mapping[str, str], operations: Any, call: str = "") -> str | None:
    """What to write for `name`: the table's answer, or the operation of that name."""
    if name in names:
        return names[name]
    return f"mt.ops.{name}{call}" if not name.startswith("_") and callable(getattr(operations, name, None)) else None
