"""The graph that a Tensor was computed by: as DOT text and as a figure, drawn without Graphviz."""

from __future__ import annotations

import inspect
import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch, PathPatch
from matplotlib.path import Path

from .._device import is_array
from .._tensor import Tensor
from ._layered_layout import layered_layout
from ._style import BLUE, GREY, VERMILION, NotebookFigure, canvas

_MOST_DRAWN = 400
_POINTS = 8.5
_CHARACTER = 0.605 * _POINTS / 72  # the width of a character in inches
_LINE = 1.3 * _POINTS / 72
_MARGIN = 0.1


@dataclass(frozen=True)
class Vertex:
    """A Tensor that was given, or an operation together with its result.

    kind: "operation"; "leaf", which requires a gradient; "constant", which does not. lines: what is written in it.
    """

    kind: str
    lines: tuple[str, ...]


@dataclass
class Graph:
    """A graph of operations, sources first; an operand that is used twice, as in a * a, has two edges.

    In a notebook it shows itself; `draw()` makes a Figure, `dot()` the text that Graphviz and its kin read.
    """

    vertices: list[Vertex] = field(default_factory=list)
    edges: list[tuple[int, int]] = field(default_factory=list)

    def dot(self) -> str:
        """The graph in the DOT language: `dot -Tsvg` draws it."""
        shapes = {
            "operation": 'shape=box, style=filled, fillcolor="#F2F2F2"',
            "leaf": f'shape=box, style="rounded,filled", fillcolor="#DCEBF7", color="{BLUE}"',
            "constant": f'shape=box, style="rounded,dashed", color="{GREY}"',
        }
        lines = ["digraph {", "  rankdir=LR;", '  node [fontname="monospace", fontsize=10];']
        for number, vertex in enumerate(self.vertices):
            label = "\\n".join(line.replace("\\", "\\\\").replace('"', '\\"') for line in vertex.lines)
            lines.append(f'  v{number} [{shapes[vertex.kind]}, label="{label}"];')
        lines += [f"  v{a} -> v{b};" for a, b in self.edges]
        return "\n".join([*lines, "}", ""])

    def draw(self, ax: Axes | None = None, direction: str | None = None, title: str = "") -> Figure:
        """A Figure: operations as boxes, given Tensors rounded (dashed where they require no gradient).

        direction: "right" or "down"; by default to the right where the graph is short.
        Raises: ValueError for another direction, or for a graph too large to be read.
        """
        if direction not in (None, "right", "down"):
            raise ValueError(f"graph: direction expects 'right' or 'down'; it is {direction!r}")
        if len(self.vertices) > _MOST_DRAWN:
            raise ValueError(
                f"graph: draw expects at most {_MOST_DRAWN} vertices; there are {len(self.vertices)}. "
                "dot() gives the text for Graphviz; or draw a smaller net"
            )
        sizes = [
            (max(map(len, vertex.lines)) * _CHARACTER + 0.24, len(vertex.lines) * _LINE + 0.12)
            for vertex in self.vertices
        ]
        right = direction == "right" or (direction is None and self._depth() <= 9)
        extents = {i: size[1] if right else size[0] for i, size in enumerate(sizes)}
        places, routes = layered_layout(range(len(self.vertices)), list(dict.fromkeys(self.edges)), extents, 0.22)
        spacing = self._spacing(places, sizes, right)
        points = {i: _point(at, spacing, right) for i, at in places.items()}
        routes_in_inches = {edge: [_point(at, spacing, right) for at in route] for edge, route in routes.items()}
        return self._paint(ax, points, sizes, routes_in_inches, right, title)

    def _depth(self) -> int:
        """The number of layers."""
        longest = [1] * len(self.vertices)
        for a, b in self.edges:  # in the order of their targets
            longest[b] = max(longest[b], longest[a] + 1)
        return max(longest, default=0)

    def _spacing(self, places: Mapping[Any, tuple[int, float]], sizes: list, right: bool) -> list[float]:
        """How far from the start the middle of each layer lies."""
        depth = 1 + max((layer for layer, _ in places.values()), default=0)
        thickness = [0.0] * depth
        for i, (layer, _) in places.items():
            thickness[layer] = max(thickness[layer], sizes[i][0] if right else sizes[i][1])
        middles, at = [], 0.0
        for layer in range(depth):
            middles.append(at + thickness[layer] / 2)
            at += thickness[layer] + (0.38 if right else 0.3)
        return middles

    def _paint(self, ax: Axes | None, points: Mapping, sizes: list, routes: Mapping, right: bool, title: str) -> Figure:
        xs = [(points[i][0] - w / 2, points[i][0] + w / 2) for i, (w, _) in enumerate(sizes)]
        ys = [(points[i][1] - h / 2, points[i][1] + h / 2) for i, (_, h) in enumerate(sizes)]
        bends = [point for route in routes.values() for point in route]
        left, rightmost = (
            min([x for x, _ in xs] + [p[0] for p in bends]),
            max([x for _, x in xs] + [p[0] for p in bends]),
        )
        bottom, top = min([y for y, _ in ys] + [p[1] for p in bends]), max([y for _, y in ys] + [p[1] for p in bends])
        width, height = rightmost - left + 2 * _MARGIN, top - bottom + 2 * _MARGIN
        scale = 1.0
        if ax is None:
            above = 0.3 if title else 0.0
            figure = NotebookFigure(figsize=(width, height + above))
            axes = figure.add_axes((0.0, 0.0, 1.0, height / (height + above)))
        else:
            figure, axes = canvas(ax, 0, 0)
            room = axes.get_window_extent()
            scale = min(1.0, room.width / figure.dpi / width, room.height / figure.dpi / height)
        axes.set_xlim(left - _MARGIN, rightmost + _MARGIN)
        axes.set_ylim(bottom - _MARGIN, top + _MARGIN)
        axes.set_aspect("equal")
        axes.set_axis_off()
        if title:
            axes.set_title(title, fontsize=10)
        for (a, b), route in routes.items():
            _draw_edge(axes, route, sizes[a], sizes[b], right, self.edges.count((a, b)), scale)
        for i, vertex in enumerate(self.vertices):
            _draw_vertex(axes, vertex, points[i], sizes[i], scale)
        return figure

    def _repr_svg_(self) -> str | None:
        if len(self.vertices) > _MOST_DRAWN:
            return None
        text = io.StringIO()
        self.draw().savefig(text, format="svg")
        return text.getvalue()[text.getvalue().index("<svg") :]

    def __repr__(self) -> str:
        operations = sum(vertex.kind == "operation" for vertex in self.vertices)
        return f"Graph(operations={operations}, given={len(self.vertices) - operations}, edges={len(self.edges)})"


def graph(tensor: Tensor, names: Mapping[str, Tensor] | Any = None) -> Graph:
    """The graph that leads to `tensor`, while it exists: backward() frees it.

    Operations stand with what sets them and the shape of their result, given Tensors with their name and shape.
    names: a mapping of names to Tensors, or a Module, whose parameters then have their names.
    Raises: TypeError for what no recorded operation made; RuntimeError for a graph that backward() has freed.

    >>> x, w = Tensor([[1.0, 2.0]], requires_grad=True), Tensor([[3.0], [4.0]], requires_grad=True)
    >>> picture = graph((x @ w).sum(), names={"x": x, "w": w})
    >>> picture
    Graph(operations=2, given=2, edges=3)
    >>> figure = picture.draw()
    """
    if not isinstance(tensor, Tensor) or tensor._node is None:
        raise TypeError(
            "graph: tensor expects the result of recorded operations, of a Tensor that requires a gradient; "
            f"it is {tensor!r}"
        )
    called = _names_by_identity(names)
    nodes = _sources_first(tensor._node)
    numbers: dict[int, int] = {}
    result = Graph()
    results = {id(o._node): o for node in nodes for o in node.inputs if isinstance(o, Tensor) and o._node is not None}
    results[id(tensor._node)] = tensor
    for node in nodes:
        operands = [o for o in node.inputs if isinstance(o, Tensor) or is_array(o)]
        for operand in operands:
            key = _key(operand)
            if key not in numbers:  # no operation: nodes are numbered before the nodes that they lead to
                numbers[key] = len(result.vertices)
                result.vertices.append(_given(operand, called))
        number = numbers[id(node)] = len(result.vertices)
        result.vertices.append(_operation(node, results[id(node)], called))
        result.edges += [(numbers[_key(operand)], number) for operand in operands]
    return result


def _key(operand: Any) -> int:
    source = operand._node if isinstance(operand, Tensor) else None
    return id(operand) if source is None else id(source)


def _names_by_identity(names: Any) -> dict[int, str]:
    if names is None:
        return {}
    pairs = names.items() if isinstance(names, Mapping) else names.named_parameters()
    found = {}
    for name, tensor in pairs:
        if not isinstance(tensor, Tensor) and not is_array(tensor):
            raise TypeError(f"graph: names expects Tensors by name, or a Module; {name!r} is {tensor!r}")
        found[_key(tensor)] = str(name)
    return found


def _sources_first(root: Any) -> list[Any]:
    """Every node that leads to `root`, oldest first: what a node was applied to is older than it."""
    seen, stack = {root}, [root]
    while stack:
        node = stack.pop()
        if node.backward is None:
            raise RuntimeError(
                f"graph: the graph of {node.operation.__name__} was freed by backward(); "
                "draw it before, or call backward(retain_graph=True)"
            )
        for operand in node.inputs:
            source = operand._node if isinstance(operand, Tensor) else None
            if source is not None and source not in seen:
                seen.add(source)
                stack.append(source)
    return sorted(seen, key=lambda node: node.order)


def _given(operand: Any, called: Mapping[int, str]) -> Vertex:
    learned = isinstance(operand, Tensor) and operand.requires_grad
    shape = _shape(operand.shape)
    return Vertex(
        "leaf" if learned else "constant", (called[id(operand)], shape) if id(operand) in called else (shape,)
    )


def _operation(node: Any, result: Tensor, called: Mapping[int, str]) -> Vertex:
    name = node.operation.__name__
    title = f"{called[id(node)]} = {name}" if id(node) in called else name
    settings = _settings(node)
    return Vertex("operation", (title, *([settings] if settings else []), _shape(result.shape)))


def _settings(node: Any) -> str:
    """What an operation was called with besides Tensors, where it differs from the default."""
    parameters = inspect.signature(node.operation.body).parameters
    given = [*zip(parameters, node.inputs), *node.settings.items()]
    shown = []
    for name, value in given:
        if isinstance(value, Tensor) or is_array(value) or value is None:
            continue
        default = parameters[name].default if name in parameters else inspect.Parameter.empty
        if not isinstance(value, (bool, int, float, str, tuple, slice, np.generic, np.dtype)):
            continue
        settles = (
            _one_number(value) if "kernel" in name or "padding" in name or name in ("stride", "dilation") else value
        )
        if type(settles) is not type(default) or settles != default:
            shown.append(f"{name}={_short(settles)}")
    text = ", ".join(shown)
    return text if len(text) <= 34 else text[:33] + "…"


def _one_number(value: Any) -> Any:
    """2 for (2, 2): the same for each axis."""
    if isinstance(value, tuple) and len(value) == 2 and all(type(part) is int for part in value):
        return value[0] if value[0] == value[1] else value
    return value


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, slice):
        return ":".join("" if part is None else str(part) for part in (value.start, value.stop, value.step)[:2])
    if isinstance(value, tuple):
        return "(" + ", ".join("array" if is_array(part) else _short(part) for part in value) + ")"
    return str(value)


def _shape(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape)) if shape else "scalar"


def _point(at: tuple[int, float], middles: list[float], right: bool) -> tuple[float, float]:
    layer, place = at
    return (middles[layer], -place) if right else (place, -middles[layer])


def _draw_vertex(ax: Axes, vertex: Vertex, point: tuple[float, float], size: tuple[float, float], scale: float) -> None:
    (x, y), (width, height) = point, size
    looks: dict[str, dict[str, Any]] = {
        "operation": {"boxstyle": "square,pad=0", "facecolor": "#F2F2F2", "edgecolor": "black", "linewidth": 0.9},
        "leaf": {
            "boxstyle": "round,pad=0,rounding_size=0.1",
            "facecolor": "#DCEBF7",
            "edgecolor": BLUE,
            "linewidth": 1.6,
        },
        "constant": {
            "boxstyle": "round,pad=0,rounding_size=0.1",
            "facecolor": "white",
            "edgecolor": GREY,
            "linewidth": 0.9,
            "linestyle": "--",
        },
    }
    ax.add_patch(FancyBboxPatch((x - width / 2, y - height / 2), width, height, zorder=2, **looks[vertex.kind]))
    for number, line in enumerate(vertex.lines):
        is_name = number == 0 and (vertex.kind == "operation" or len(vertex.lines) > 1)
        ax.text(
            x,
            y + ((len(vertex.lines) - 1) / 2 - number) * _LINE,
            line,
            ha="center",
            va="center_baseline",
            fontsize=_POINTS * scale,
            family="DejaVu Sans Mono",
            weight="bold" if is_name else "normal",
            color="black" if number == 0 else "#444444",
            parse_math=False,
            zorder=3,
        )


def _draw_edge(
    ax: Axes, route: list[tuple[float, float]], start: tuple, end: tuple, right: bool, times: int, scale: float
) -> None:
    """A smooth line through the points of the route, from one box to the other; how often, where more than once."""
    first = (route[0][0] + start[0] / 2, route[0][1]) if right else (route[0][0], route[0][1] - start[1] / 2)
    last = (route[-1][0] - end[0] / 2, route[-1][1]) if right else (route[-1][0], route[-1][1] + end[1] / 2)
    points = [first, *route[1:-1], last]
    vertices, codes = [points[0]], [Path.MOVETO]
    for a, b in zip(points, points[1:]):
        if right:
            middle = (a[0] + b[0]) / 2
            vertices += [(middle, a[1]), (middle, b[1]), b]
        else:
            middle = (a[1] + b[1]) / 2
            vertices += [(a[0], middle), (b[0], middle), b]
        codes += [Path.CURVE4] * 3
    ax.add_patch(PathPatch(Path(vertices, codes), facecolor="none", edgecolor="black", linewidth=0.9, zorder=1))
    x, y = last
    tip = (
        [(x, y), (x - 0.09, y + 0.04), (x - 0.09, y - 0.04)]
        if right
        else [(x, y), (x - 0.04, y + 0.09), (x + 0.04, y + 0.09)]
    )
    ax.fill(*zip(*tip), color="black", linewidth=0, zorder=4)
    if times > 1:
        at = (x - 0.12, y + 0.02) if right else (x + 0.05, y + 0.1)
        alignment: Any = {"ha": "right" if right else "left", "va": "bottom"}
        ax.text(*at, f"{times}×", fontsize=(_POINTS - 1) * scale, color=VERMILION, weight="bold", zorder=5, **alignment)
