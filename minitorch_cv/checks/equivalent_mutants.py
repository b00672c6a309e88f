"""Mutants that no check of a case can catch: operation, change, and why.

Most change nothing. A few change what is no derivative, and are held by a test that is named.
"""

_NEVER_ASKED = "the gradient of an operand that is not there is never asked for"
_ANY_NEGATIVE = "NumPy takes any negative size for the unknown one"
_ORDER_OF_AXES = "the order in which axes are summed means nothing"
_NOT_STRETCHED = "beside a number an array is never broadcast"
_NOT_CHOSEN = "the other branch is taken there; the number only has to be finite"
_PADDING = "the gradient that a padding row does not get is no derivative: tests/ops/test_embedding.py holds it"
_TIE = "at a tie any share is a subgradient: tests/checks/test_mutation.py holds the half"
_ZERO_TIMES = "it is multiplied by zero; the number only has to be finite"
_COMMUTES = "the sum of a product: its factors may be exchanged"
_BROADCASTS = "`where` broadcasts it itself"

EQUIVALENT: dict[str, dict[str, str]] = {
    "batch_norm_eval": {"total(dy, x) -> total(x, dy)": _COMMUTES},
    "batch_norm_relu_train": {"total(g, xhat) -> total(xhat, g)": _COMMUTES},
    "batch_norm_train": {"total(dy, xhat) -> total(xhat, dy)": _COMMUTES},
    "conv2d": {
        "(lambda: xp_of(dy).sum(dy, axis=(0, 2, 3))) if has_bias else None -> "
        "lambda: xp_of(dy).sum(dy, axis=(0, 2, 3))": _NEVER_ASKED,
        "xp_of(dy).sum(dy, axis=(0, 2, 3)) -> xp_of(dy).sum(dy, axis=(2, 0, 3))": _ORDER_OF_AXES,
    },
    "divide": {"unbroadcast(dy / b, a_shape) -> dy / b #2": _NOT_STRETCHED},
    "elu": {
        "xp_of(x).where(positive, 0.0, x) -> xp_of(x).where(positive, 1.0, x)": _NOT_CHOSEN,
        "xp_of(x).where(positive, 0.0, x) -> xp_of(x).where(positive, -1.0, x)": _NOT_CHOSEN,
    },
    "embedding": {
        "padding_idx % rows -> padding_idx": _PADDING,
        "padding_idx % rows -> rows": _PADDING,
        "xp_of(dy).where((index != padding_idx % rows)[..., None], dy, 0.0) -> "
        "xp_of(dy).where((index != padding_idx % rows)[..., None], dy, 1.0)": _PADDING,
        "xp_of(dy).where((index != padding_idx % rows)[..., None], dy, 0.0) -> "
        "xp_of(dy).where((index != padding_idx % rows)[..., None], dy, -1.0)": _PADDING,
    },
    "gaussian_kl": {"(-1,) + (1,) * len(latent) -> (-2,) + (1,) * len(latent)": _ANY_NEGATIVE},
    "group_norm": {
        "xp.reshape(of_channel, (-1, channels // num_groups)) -> "
        "xp.reshape(of_channel, (-2, channels // num_groups))": _ANY_NEGATIVE,
        "total(g, xhat) -> total(xhat, g)": _COMMUTES,
        "over_batch(dy, xhat) -> over_batch(xhat, dy)": _COMMUTES,
    },
    "layer_norm": {"total(g, xhat) -> total(xhat, g)": _COMMUTES},
    "linear": {
        "xp.reshape(dy, (-1, outputs)) -> xp.reshape(dy, (-2, outputs))": _ANY_NEGATIVE,
        "xp_of(x).reshape(x, (-1, features)) -> xp_of(x).reshape(x, (-2, features))": _ANY_NEGATIVE,
        "(lambda: xp.sum(rows, axis=0)) if has_bias else None -> lambda: xp.sum(rows, axis=0)": _NEVER_ASKED,
    },
    "matmul": {
        "xp_of(a).reshape(a, (1, -1)) -> xp_of(a).reshape(a, (1, -2))": _ANY_NEGATIVE,
        "xp_of(b).reshape(b, (-1, 1)) -> xp_of(b).reshape(b, (-2, 1))": _ANY_NEGATIVE,
    },
    "max": {"xp.broadcast_to(_restore(dy, shape, axes), shape) -> _restore(dy, shape, axes)": _BROADCASTS},
    "min": {"xp.broadcast_to(_restore(dy, shape, axes), shape) -> _restore(dy, shape, axes)": _BROADCASTS},
    "maximum": {"dy * 0.5 -> dy": _TIE},
    "minimum": {"dy * 0.5 -> dy": _TIE},
    "multiply": {"unbroadcast(dy * b, a_shape) -> dy * b #2": _NOT_STRETCHED},
    "power": {
        "None if isinstance(exponent, (int, float)) else dexponent -> dexponent": _NEVER_ASKED,
        "xp.where((x == 0) & (exponent == 0), 1.0, x) -> xp.where((x == 0) & (exponent == 0), 2.0, x)": _ZERO_TIMES,
        "math.log(x) if x else 0.0 -> math.log(x) if x else 1.0": _ZERO_TIMES,
        "math.log(x) if x else 0.0 -> math.log(x) if x else -1.0": _ZERO_TIMES,
        "xp.where(x == 0, 1.0, x) -> xp.where(x == 0, 2.0, x)": _ZERO_TIMES,
    },
    "to_device": {"to_device(dy, before) -> dy": "with one device there is nowhere to move it"},
}
