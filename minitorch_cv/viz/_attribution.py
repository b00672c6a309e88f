"""What a network sees: which pixels a value depends on, by occlusion, by gradients bent on their way, by feature maps.

Each function takes a trained model and one image, in floats as the model takes it, runs the model as in evaluation,
leaves it as it was, and returns a NumPy array. `overlay` draws it over the image, `signed` a gradient or a pattern.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from .. import ops
from .._autograd import Node, latest_first, no_grad, recorded
from .._device import array_namespace, to_device, to_numpy
from .._numerics import get_numerics, set_numerics
from .._op import OPS
from .._random import Generator
from .._tensor import Tensor
from ..nn import AdaptiveAvgPool2d, Linear, Module, evaluation


def occlusion(model: Module, image: Any, target: int, size: int = 16, stride: int = 8, fill: float = 0.0) -> Any:
    r"""How probable a class remains while a square hides part of the image: low where the class is recognised.

    Forward:   p[i, j] = softmax(model(x'))_target, x' the image with the square at (i stride, j stride) set to `fill`
    Shapes:    image (1, C, H, W) or (C, H, W), p ((H - size) // stride + 1, (W - size) // stride + 1)
    Units:     size and stride in pixels; fill as the image, whose mean is 0 where it is standardised
    Raises:    ValueError where the image has another shape, or the square does not fit
    Source:    Zeiler and Fergus 2013, arXiv 1311.2901, section 4.2
    """
    x = _one_image("occlusion", model, image)
    height, width = x.shape[2:]
    if not 1 <= size <= min(height, width) or stride < 1:
        raise ValueError(
            f"occlusion: size expects 1 .. {min(height, width)} and stride 1 or more; they are {size} and {stride}"
        )
    places = [(i, j) for i in range(0, height - size + 1, stride) for j in range(0, width - size + 1, stride)]
    found: list[np.ndarray] = []
    with evaluation(model), no_grad():
        for first in range(0, len(places), 16):
            some = places[first : first + 16]
            hidden = array_namespace(x).repeat(x, len(some), axis=0)
            for picture, (i, j) in zip(hidden, some, strict=True):
                picture[:, i : i + size, j : j + size] = fill
            logits = model(Tensor(hidden))
            _check_class("occlusion", target, logits)
            found.append(to_numpy(ops.softmax(logits, axis=1).data)[:, target])
    return np.concatenate(found).reshape(-1, (width - size) // stride + 1)


def saliency(model: Module, image: Any, target: int, guided: bool = True) -> np.ndarray:
    r"""The gradient of a class's logit with respect to the pixels; guided: without what lowers it on the way.

    Forward:   s = d logit_target / dx; guided, each ReLU passes dy only where its value and dy itself are positive
    Shapes:    image (1, C, H, W) or (C, H, W), s (C, H, W)
    Raises:    ValueError where the image has another shape
    Source:    Simonyan, Vedaldi, Zisserman 2013, arXiv 1312.6034; guided: Springenberg et al. 2014, arXiv 1412.6806
    """
    x = Tensor(_one_image("saliency", model, image), requires_grad=True)
    with evaluation(model), recorded():
        logits = model(x)
    _check_class("saliency", target, logits)
    upstream = array_namespace(logits.data).zeros_like(logits.data)
    upstream[0, target] = 1
    return _walk_back(logits, upstream, x, _GUIDED if guided else {})[0]


def deconvnet(model: Module, image: Any, layer: str, channel: int) -> np.ndarray:
    r"""The pattern in the image that a feature map answers to most, projected down by a "deconvolutional" net.

    The strongest value of the map alone is sent back: a convolution's filters transposed, poolings undone by their
    switches, and each ReLU applied to what comes back. Response normalisation is passed by.
    Forward:   as backpropagation, but with max(dy, 0) at a ReLU whatever its own value was
    Shapes:    image (1, C, H, W) or (C, H, W), the pattern (C, H, W)
    Raises:    ValueError where the image has another shape, or the model no such layer, or the layer no such channel
    Source:    Zeiler and Fergus 2013, arXiv 1311.2901, section 2.1
    """
    x = Tensor(_one_image("deconvnet", model, image), requires_grad=True)
    maps = _output("deconvnet", model, x, layer)
    if maps.ndim != 4 or not 0 <= channel < maps.shape[1]:
        raise ValueError(
            f"deconvnet: channel expects the number of a feature map of layer {layer!r}, whose output is {maps.shape}; "
            f"it is {channel}"
        )
    upstream = array_namespace(maps.data).zeros_like(maps.data)
    row, column = divmod(int(maps.data[0, channel].argmax()), maps.shape[3])
    upstream[0, channel, row, column] = maps.data[0, channel, row, column]
    return _walk_back(maps, upstream, x, _DECONVNET)[0]


def class_activation(model: Module, image: Any, target: int) -> np.ndarray:
    r"""Where in the image a class is seen, of a net that ends with global average pooling and one linear layer.

    Forward:   a[h, w] = \sum_k weight[target, k] f[k, h, w], f the feature maps that are pooled
    Shapes:    image (1, C, H, W) or (C, H, W), a as the feature maps (h, w)
    Units:     logits: their mean over h, w, plus the class's bias, is the logit
    Raises:    ValueError where the image has another shape, or the model no AdaptiveAvgPool2d(1) and Linear
    Source:    Zhou et al. 2015, arXiv 1512.04150, section 2
    """
    x = Tensor(_one_image("class_activation", model, image))
    layers = list(model.modules())
    pooling = next((layer for layer in reversed(layers) if isinstance(layer, AdaptiveAvgPool2d)), None)
    classifier = next((layer for layer in reversed(layers) if isinstance(layer, Linear)), None)
    if pooling is None or classifier is None:
        raise ValueError(
            f"class_activation: model expects global average pooling (AdaptiveAvgPool2d) and one linear layer behind "
            f"it; {type(model).__name__} has none"
        )
    seen: list[Any] = []
    with pooling.register_forward_hook(lambda module, inputs, y: seen.append((inputs[0], y))), evaluation(model):
        with no_grad():
            model(x)
    if not seen:
        raise ValueError("class_activation: model expects to run its last AdaptiveAvgPool2d; it does not")
    maps, pooled = seen[0]
    if pooled.shape[2:] != (1, 1) or classifier.in_features != maps.shape[1]:
        raise ValueError(
            f"class_activation: model expects global average pooling right before its linear layer; here {maps.shape} "
            f"becomes {pooled.shape} before {classifier.in_features} features"
        )
    _check_class("class_activation", target, classifier.weight.data.T)
    weight = to_numpy(classifier.weight.data)[target]
    return np.tensordot(weight, to_numpy(maps.data)[0], 1)


def receptive_field(
    model: Module, layer: str, input_shape: tuple[int, ...], images: int = 8, *, generator: Generator | None = None
) -> np.ndarray:
    r"""How strongly each pixel moves the middle of a layer's output: the mean size of its gradient over random images.

    Where it is not zero is the receptive field that the ledger computes; most of it lies in the middle, for more paths
    lead there.
    Forward:   r[h, w] = mean over images of \sum_c |d (\sum_k y[k, oh // 2, ow // 2]) / dx[c, h, w]|
    Shapes:    input_shape (1, C, H, W), r (H, W)
    Raises:    ValueError where the model has no such layer, or its output is no feature maps
    Source:    Luo, Li, Urtasun, Zemel 2016, "Understanding the effective receptive field", arXiv 1701.04128
    """
    if images < 1:
        raise ValueError(f"receptive_field: images expects at least 1; it is {images}")
    source, like = generator or Generator(0), next(model.parameters(), Tensor(np.float32(0)))
    total = np.zeros(input_shape[2:])
    before = get_numerics()
    set_numerics("strict")  # Winograd's sums round, and what is zero would be only nearly so
    try:
        for _ in range(images):
            drawn = to_device(source.normal((1, *input_shape[1:]), dtype=like.dtype), like.device)
            x = Tensor(drawn, requires_grad=True)
            maps = _output("receptive_field", model, x, layer)
            if maps.ndim != 4:
                raise ValueError(
                    f"receptive_field: layer {layer!r} expects feature maps as output; they are {maps.shape}"
                )
            upstream = array_namespace(maps.data).zeros_like(maps.data)
            upstream[:, :, maps.shape[2] // 2, maps.shape[3] // 2] = 1
            total += np.abs(_walk_back(maps, upstream, x, {})[0]).sum(axis=0)
    finally:
        set_numerics(before)
    return total / images


def _check_class(name: str, target: int, logits: Any) -> None:
    if not 0 <= target < logits.shape[1]:
        raise ValueError(f"{name}: target expects a class, 0 .. {logits.shape[1] - 1}; it is {target}")


def _one_image(name: str, model: Module, image: Any) -> Any:
    """The image (1, C, H, W) in the model's type and on its device, a copy, with the values that it has."""
    like = next(model.parameters(), Tensor(np.float32(0)))
    array = to_numpy(image.data if isinstance(image, Tensor) else image)
    array = array[None] if array.ndim == 3 else array
    if array.dtype.kind != "f":
        raise TypeError(
            f"{name}: image expects floats as the model takes them: data.to_float(...), or for published weights "
            f"data.standardized_photographs(...); it is of {array.dtype}"
        )
    if array.ndim != 4 or len(array) != 1:
        raise ValueError(f"{name}: image expects shape (1, C, H, W) or (C, H, W); it is {array.shape}")
    return to_device(array.astype(like.dtype), like.device)


def _output(name: str, model: Module, x: Tensor, layer: str) -> Tensor:
    """What the layer of that name puts out for x."""
    modules = dict(model.named_modules())
    if layer not in modules:
        known = ", ".join(map(repr, list(modules)[1:12]))
        raise ValueError(f"{name}: layer expects the name of one, such as {known} ...; it is {layer!r}")
    seen: list[Any] = []
    with modules[layer].register_forward_hook(lambda module, inputs, y: seen.append(y)), evaluation(model), recorded():
        model(x)
    if not seen or not isinstance(seen[0], Tensor):
        raise ValueError(f"{name}: layer {layer!r} puts out no Tensor when the model runs")
    return seen[0]


Rule = Callable[[Node, Any], tuple]


def _walk_back(y: Tensor, upstream: Any, x: Tensor, rules: Mapping[str, Rule]) -> np.ndarray:
    """Backpropagation from y to x alone, with `rules` in place of the backward of the operations that they name."""
    if y._node is None and y is not x:
        raise ValueError("attribution: model expects to compute its output from the image; it is a constant")
    gradients: dict[Any, Any] = {y._node if y is not x else x: upstream}
    with no_grad():
        for node in latest_first("attribution", y._node) if y._node is not None else []:
            dy = gradients.pop(node, None)
            if dy is None:
                continue
            rule = rules.get(node.operation.__name__)
            results = rule(node, dy) if rule is not None else node.backward(dy)  # pyright: ignore[reportOptionalCall]
            results = results if type(results) is tuple else (results,)
            for operand, gradient in zip(node.inputs, results, strict=False):
                if not isinstance(operand, Tensor) or gradient is None or (operand._node is None and operand is not x):
                    continue
                gradient = gradient() if callable(gradient) else gradient
                key = x if operand is x else operand._node
                gradients[key] = gradients[key] + gradient if key in gradients else gradient
    found = gradients.get(x)
    return np.zeros(x.shape) if found is None else to_numpy(found)


def _positive(dy: Any) -> Any:
    return array_namespace(dy).maximum(dy, 0)


def _by_statistics(node: Node, dy: Any) -> tuple:
    """Back through the batch norm of a `batch_norm_relu_eval`, without its ReLU; the residual gets dy itself."""
    x, _, *others = (a.data if isinstance(a, Tensor) else a for a in node.inputs)
    return OPS["batch_norm_eval"].body(x, *others, **node.settings)[1](dy)[0], dy


_GUIDED: dict[str, Rule] = {
    name: lambda node, dy: node.backward(_positive(dy))  # pyright: ignore[reportOptionalCall]
    for name in ("relu", "add_relu", "batch_norm_relu_eval")
}
_DECONVNET: dict[str, Rule] = {
    "relu": lambda node, dy: (_positive(dy),),
    "add_relu": lambda node, dy: (_positive(dy), _positive(dy)),
    "batch_norm_relu_eval": lambda node, dy: _by_statistics(node, _positive(dy)),
    "local_response_norm": lambda node, dy: (dy,),
}
