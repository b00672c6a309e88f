"""What faster bodies of operations there are. The dispatcher reads it, and imports a body's module at its first use."""

from __future__ import annotations

from typing import NamedTuple


class Body(NamedTuple):
    """A body of the same shape as the portable one: `function(operands..., settings...) -> (value, backward)`.

    It is chosen where every floating operand is on `device` and all are of one and the same of `dtypes`, where no
    operand is an array of integers or booleans unless it `takes_integers`, and where `function.accepts`, if it has one,
    says so for the call's arguments. `error_bound` is its largest error in float32, relative to the largest
    value and measured against the portable body in float64; None stands for twice the portable body's own error.
    """

    operation: str
    device: str
    dtypes: tuple[str, ...]
    module: str
    function: str
    error_bound: float | None = None
    takes_integers: bool = False


def _on_cpu(stem: str, *operations: str, error_bound: float | None = None) -> list[Body]:
    """The bodies in kernels/cpu/<stem>.py, which bear the names of their operations."""
    module = f"minitorch_cv.kernels.cpu.{stem}"
    return [Body(name, "cpu", ("float32", "float64"), module, name, error_bound) for name in operations]


def _on_cuda(stem: str, *operations: str, error_bound: float | None = None) -> list[Body]:
    """The bodies in kernels/cuda/<stem>.py, on the simulator: no GPU has run them yet, so "cuda" takes none of them."""
    module = f"minitorch_cv.kernels.cuda.{stem}"
    return [Body(name, "cuda-sim", ("float32",), module, name, error_bound) for name in operations]


BODIES: list[Body] = [
    *_on_cpu("conv2d", "conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", error_bound=3e-5),
    *_on_cpu("batch_norm", "batch_norm_train", "batch_norm_relu_train", "batch_norm_eval", "batch_norm_relu_eval"),
    *_on_cpu("activation", "relu", "leaky_relu", "sigmoid", "tanh", "silu"),
    *_on_cpu("residual", "add_relu"),
    *_on_cpu("elementwise", "add"),
    *_on_cpu("shape", "concatenate_operands"),
    *_on_cpu("attention", "masked_attention"),
    *_on_cpu("matmul", "linear", "matmul"),
    *_on_cpu("softmax", "softmax", "softmax_cross_entropy"),
    *_on_cpu("loss", "binary_cross_entropy_with_logits"),
    *_on_cpu("local_response_norm", "local_response_norm"),
    *_on_cpu("group_norm", "group_norm"),
    *(b._replace(takes_integers=True) for b in _on_cpu("pool2d", "max_pool2d_input_gradient")),
    *_on_cpu("pool2d", "max_pool2d", "avg_pool2d", "avg_pool2d_input_gradient"),
    *_on_cpu("pool2d", "adaptive_avg_pool2d", "adaptive_avg_pool2d_input_gradient"),
    *_on_cuda("activation", "relu", "leaky_relu", "sigmoid", "tanh", "silu"),
    *_on_cuda("elementwise", "add"),
    *_on_cuda("softmax", "softmax", "softmax_cross_entropy"),
    *_on_cuda("loss", "binary_cross_entropy_with_logits"),
    *(b._replace(takes_integers=True) for b in _on_cuda("dropout", "scale_kept")),
    *_on_cuda("conv2d", "conv2d", "conv2d_input_gradient", "conv2d_weight_gradient", error_bound=3e-5),
    *_on_cuda("matmul", "linear", "matmul", error_bound=3e-5),
    *_on_cuda("batch_norm", "batch_norm_train", "batch_norm_relu_train", "batch_norm_eval", "batch_norm_relu_eval"),
    *(b._replace(takes_integers=True) for b in _on_cuda("pool2d", "max_pool2d_input_gradient")),
    *_on_cuda("pool2d", "max_pool2d", "avg_pool2d", "avg_pool2d_input_gradient"),
    *_on_cuda("pool2d", "adaptive_avg_pool2d", "adaptive_avg_pool2d_input_gradient"),
    *_on_cuda("residual", "add_relu"),
    *_on_cuda("group_norm", "group_norm"),
    *_on_cuda("local_response_norm", "local_response_norm"),
    *(b._replace(takes_integers=True) for b in _on_cuda("attention", "masked_attention")),
]

# The same for the optimisers' updates, which change arrays in place and so are no operations.
UPDATES: list[Body] = [*_on_cpu("optim", "sgd_step", "adam_step"), *_on_cuda("optim", "sgd_step", "adam_step")]
