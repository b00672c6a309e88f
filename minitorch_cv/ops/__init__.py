r"""The operations: `torch.nn.functional`'s names and argument order, on Tensors or on plain arrays.

Letters: N images, C channels, H and W height and width of the input; O output channels, oh and ow height and width of
the output; kh and kw height and width of a window; L the loss. A gradient is named after its variable: dx = dL/dx. In
formulas dy is the upstream gradient dL/dy.
"""

import sys

from .. import _namespace, _tensor
from ._batch_norm import batch_norm
from ._conv2d import conv2d, conv2d_input_gradient, conv2d_weight_gradient, conv_transpose2d
from ._dropout import dropout, dropout2d
from ._embedding import embedding
from ._group_norm import group_norm
from ._layer_norm import layer_norm
from ._local_response_norm import local_response_norm
from ._matmul import linear, matmul
from ._softmax import log_softmax, softmax
from .activation import (
    elu,
    erf,
    gelu,
    leaky_relu,
    log_sigmoid,
    relu,
    relu6,
    sigmoid,
    silu,
    softplus,
    tanh,
)
from .attention import scaled_dot_product_attention
from .elementwise import (
    abs,
    add,
    astype,
    clip,
    clone,
    cos,
    divide,
    exp,
    expm1,
    log,
    log1p,
    maximum,
    minimum,
    multiply,
    negative,
    power,
    sin,
    sqrt,
    subtract,
    to_device,
    where,
)
from .loss import (
    binary_cross_entropy_with_logits,
    cross_entropy,
    gaussian_kl,
    gaussian_nll_loss,
    l1_loss,
    mse_loss,
    nll_loss,
    smooth_l1_loss,
)
from .pool2d import adaptive_avg_pool2d, avg_pool2d, max_pool2d, max_unpool2d
from .reduce import argmax, argmin, max, mean, min, sum, var
from .residual import add_relu
from .resize import interpolate
from .shape import (
    concatenate,
    expand,
    flatten,
    flip,
    getitem,
    pad,
    permute,
    reshape,
    scatter_add,
    squeeze,
    stack,
    take_along_axis,
    transpose,
    unsqueeze,
)

# The operators of a Tensor, and the namespace in which a body is replayed, are operations: here they get them.
_tensor.ops = sys.modules[__name__]  # pyright: ignore[reportAttributeAccessIssue]
_namespace.use_operations(sys.modules[__name__])
