"""The graph of a Tensor: right vertices and edges, DOT text, and a drawing in which nothing lies over anything."""

import re

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import nn, ops, viz
from minitorch_cv.viz._layered_layout import _apart, layered_layout


@pytest.fixture
def diamond():
    """L = a^2 + a^3, where a^2 is used twice."""
    a = mt.Tensor(2.0, requires_grad=True)
    b = a * a
    return a, b, b + a * b


def test_vertices_and_edges_of_a_known_graph(diamond):
    a, b, loss = diamond
    found = viz.graph(loss, names={"a": a, "b": b})
    assert [vertex.lines for vertex in found.vertices] == [
        ("a", "scalar"),
        ("b = multiply", "scalar"),
        ("multiply", "scalar"),
        ("add", "scalar"),
    ]
    assert [vertex.kind for vertex in found.vertices] == ["leaf", "operation", "operation", "operation"]
    assert sorted(found.edges) == [(0, 1), (0, 1), (0, 2), (1, 2), (1, 3), (2, 3)]
    assert repr(found) == "Graph(operations=3, given=1, edges=6)"


def test_mt_graph_is_the_same_function():
    assert mt.graph is viz.graph


def test_settings_shapes_and_names_of_a_module(rng):
    net = nn.Sequential(nn.Conv2d(3, 4, 3, stride=2, padding=1), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9, 2))
    x = mt.Tensor(rng.random((5, 3, 6, 5), np.float32))
    lines = [vertex.lines for vertex in viz.graph(net(x).sum(), names=net).vertices]
    assert ("0.weight", "4×3×3×3") in lines and ("3.bias", "2") in lines
    assert ("conv2d", "stride=2, padding=1", "5×4×3×3") in lines
    assert ("5×3×6×5",) in lines
    assert lines[-1] == ("sum", "scalar")


def test_constants_are_told_from_leaves(rng):
    x, w = mt.Tensor(rng.random((2, 3))), mt.Tensor(rng.random((3, 4)), requires_grad=True)
    kinds = {v.lines[0]: v.kind for v in viz.graph(x @ w, names={"x": x, "w": w}).vertices}
    assert kinds == {"x": "constant", "w": "leaf", "matmul": "operation"}


def test_dot_has_each_vertex_and_edge_once_for_each_use(diamond):
    a, _, loss = diamond
    text = viz.graph(loss, names={'say "a"\\': a}).dot()
    assert text.startswith("digraph {") and text.rstrip().endswith("}")
    assert len(re.findall(r"v\d+ \[", text)) == 4 and len(re.findall(r"v\d+ -> v\d+;", text)) == 6
    assert r'label="say \"a\"\\\nscalar"' in text


def test_a_freed_graph_is_named(diamond):
    loss = diamond[2]
    loss.backward()
    with pytest.raises(
        RuntimeError, match=r"^graph: the graph of add was freed by backward\(\); draw it before, or call"
    ):
        viz.graph(loss)


def test_a_kept_graph_can_be_drawn(diamond):
    loss = diamond[2]
    loss.backward(retain_graph=True)
    assert len(viz.graph(loss).vertices) == 4


@pytest.mark.parametrize("value", [mt.Tensor(1.0), mt.Tensor(1.0, requires_grad=True), 3.0])
def test_what_no_operation_made_is_refused(value):
    with pytest.raises(TypeError, match=r"^graph: tensor expects the result of recorded operations"):
        viz.graph(value)


def test_wrong_names_and_directions_are_refused(diamond):
    with pytest.raises(TypeError, match=r"^graph: names expects Tensors by name, or a Module; 'a' is 3"):
        viz.graph(diamond[2], names={"a": 3})
    with pytest.raises(ValueError, match=r"^graph: direction expects 'right' or 'down'; it is 'left'"):
        viz.graph(diamond[2]).draw(direction="left")


def test_a_long_chain_needs_no_recursion_and_is_too_long_to_draw():
    y = mt.Tensor(1.0, requires_grad=True)
    for _ in range(3000):
        y = y + 1.0
    found = viz.graph(y)
    assert found.dot().count(" -> ") == 3000 and found._repr_svg_() is None
    with pytest.raises(ValueError, match=r"^graph: draw expects at most 400 vertices; there are 3001"):
        found.draw()


def residual_net(depth):
    h = mt.Tensor(np.ones((2, 8)), requires_grad=True)
    weights = [mt.Tensor(np.ones((8, 8)), requires_grad=True) for _ in range(depth)]
    for w in weights:
        h = h + ops.relu(h @ w) * 2.0
    return (h * (h @ weights[0])).mean()


@pytest.mark.parametrize("direction", ["right", "down"])
@pytest.mark.parametrize("depth", [1, 4])
def test_no_box_lies_over_another_and_all_are_inside(direction, depth):
    from matplotlib.patches import FancyBboxPatch

    found = viz.graph(residual_net(depth))
    figure = found.draw(direction=direction)
    figure.canvas.draw()
    (ax,) = figure.axes
    boxes = [patch.get_window_extent() for patch in ax.patches if isinstance(patch, FancyBboxPatch)]
    assert len(boxes) == len(found.vertices)
    for i, box in enumerate(boxes):
        assert figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 and figure.bbox.y0 <= box.y0
        assert box.y1 <= figure.bbox.y1
        assert not any(box.overlaps(other) for other in boxes[i + 1 :])


@pytest.mark.parametrize("own_axes", [True, False])
def test_text_stays_within_its_box(own_axes):
    from matplotlib.figure import Figure
    from matplotlib.patches import FancyBboxPatch

    ax = None if own_axes else Figure(figsize=(3, 2)).subplots()
    figure = viz.graph(residual_net(2)).draw(ax)
    figure.canvas.draw()
    boxes = [p.get_window_extent() for p in figure.axes[0].patches if isinstance(p, FancyBboxPatch)]
    for text in figure.axes[0].texts:
        extent = text.get_window_extent()
        middle = (extent.x0 + extent.x1) / 2, (extent.y0 + extent.y1) / 2
        (box,) = [box for box in boxes if box.contains(*middle)]
        assert box.x0 <= extent.x0 and extent.x1 <= box.x1


def test_it_shows_itself_in_a_notebook(diamond):
    svg = viz.graph(diamond[2])._repr_svg_()
    assert svg.startswith("<svg") and svg.rstrip().endswith("</svg>")


def test_sources_lie_before_their_targets_and_next_to_the_first():
    places, routes = layered_layout("abcd", [("a", "c"), ("b", "d"), ("c", "d"), ("a", "d")], {}, 1.0)
    assert {v: layer for v, (layer, _) in places.items()} == {"a": 0, "c": 1, "b": 1, "d": 2}
    assert [layer for layer, _ in routes["a", "d"]] == [0, 1, 2]


def test_places_keep_distances_and_are_closest_to_the_wanted(rng):
    wanted, distances = list(rng.normal(size=6) * 3), list(rng.uniform(0.5, 2.0, 5))
    found = np.array(_apart(wanted, distances))
    assert (np.diff(found) >= np.array(distances) - 1e-12).all()
    error = ((found - wanted) ** 2).sum()
    for _ in range(2000):  # no feasible neighbour is better
        other = found + rng.normal(size=6) * 0.05
        if (np.diff(other) >= distances).all():
            assert ((other - wanted) ** 2).sum() >= error - 1e-9
