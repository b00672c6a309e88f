r"""Embedding: rows of a table, looked up by index."""

from __future__ import annotations

from .._capturing import is_capturing
from .._namespace import raw, xp_of
from .._op import op
from .shape import scatter_add


@op(linear_in=("weight",))
def embedding(x, weight, padding_idx=None):
    r"""A row of the table for each index.

    Forward:   y_i = w_(x_i)
    Backward:  dw_k = \sum_(i: x_i = k) dy_i: a row that was looked up twice gets both gradients;
               the row `padding_idx` gets none (it may be negative: counted from the end)
    Shapes:    x (integers) of any shape, weight (K, D), y (..., D)
    Raises:    TypeError unless x holds integers; ValueError unless weight has two axes or for a padding_idx outside;
               IndexError for an index outside 0 .. K - 1
    Source:    Bengio et al. 2003, "A neural probabilistic language model", section 2
    """
    if x.dtype.kind not in "iu":
        raise TypeError(f"embedding: x expects integer indices; it is of type {x.dtype}")
    if weight.ndim != 2:
        raise ValueError(f"embedding: weight expects shape (K, D); it is {weight.shape}")
    rows = weight.shape[0]
    if padding_idx is not None and not -rows <= padding_idx < rows:
        raise ValueError(f"embedding: padding_idx expects a row of weight {weight.shape}; it is {padding_idx}")
    index = raw(lambda v: v, x)
    outside = (index < 0) | (index >= rows)
    if not is_capturing() and outside.any():
        raise IndexError(f"embedding: x expects indices 0 .. {rows - 1}; it has {int(index[outside][0])}")
    shape = weight.shape

    def backward(dy):
        if padding_idx is not None:
            dy = xp_of(dy).where((index != padding_idx % rows)[..., None], dy, 0.0)
        return None, scatter_add(dy, index, shape)

    return raw(lambda w: w[index], weight), backward
