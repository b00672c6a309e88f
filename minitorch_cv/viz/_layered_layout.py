"""Where the vertices of a directed graph without cycles are drawn: in layers, with few crossings and short edges.

Source: Sugiyama, Tagawa, Toda, "Methods for visual understanding of hierarchical system structures" (1981); the layers
are those of the longest path.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

Vertex = Any  # anything hashable
Edge = tuple[Vertex, Vertex]

_SWEEPS = 12


def layered_layout(
    vertices: Sequence[Vertex], edges: Sequence[Edge], extents: Mapping[Vertex, float], gap: float
) -> tuple[dict[Vertex, tuple[int, float]], dict[Edge, list[tuple[int, float]]]]:
    """Layer and place of each vertex, and for each edge the points that it passes, in layer and place.

    vertices: sources before their targets. extents: the room that each takes within its layer; gap: between two.
    """
    layer = _layers(vertices, edges)
    rows, chains = _with_dummies(vertices, edges, layer)
    before: dict[Vertex, list[Vertex]] = {v: [] for row in rows for v in row}
    after: dict[Vertex, list[Vertex]] = {v: [] for row in rows for v in row}
    for chain in chains.values():
        for a, b in zip(chain, chain[1:]):
            after[a].append(b)
            before[b].append(a)
    _order(rows, before, after)
    place = _places(rows, before, after, extents, gap)
    where = {v: (i, place[v]) for i, row in enumerate(rows) for v in row}
    return {v: where[v] for v in vertices}, {edge: [where[v] for v in chain] for edge, chain in chains.items()}


def _layers(vertices: Sequence[Vertex], edges: Sequence[Edge]) -> dict[Vertex, int]:
    """The longest path to each vertex; sources are moved up to just before the first vertex that needs them."""
    sources: dict[Vertex, list[Vertex]] = {v: [] for v in vertices}
    targets: dict[Vertex, list[Vertex]] = {v: [] for v in vertices}
    for a, b in edges:
        sources[b].append(a)
        targets[a].append(b)
    layer: dict[Vertex, int] = {}
    for v in vertices:
        layer[v] = max((layer[s] + 1 for s in sources[v]), default=0)
    for v in reversed(vertices):
        if not sources[v] and targets[v]:
            layer[v] = min(layer[t] for t in targets[v]) - 1
    return layer


def _with_dummies(
    vertices: Sequence[Vertex], edges: Sequence[Edge], layer: Mapping[Vertex, int]
) -> tuple[list[list[Vertex]], dict[Edge, list[Vertex]]]:
    """The vertices layer by layer; an edge over several layers gets a dummy vertex in each, to keep its way free."""
    rows: list[list[Vertex]] = [[] for _ in range(max(layer.values(), default=-1) + 1)]
    for v in vertices:
        rows[layer[v]].append(v)
    chains: dict[Edge, list[Vertex]] = {}
    for a, b in edges:
        dummies = [("dummy", a, b, i) for i in range(layer[a] + 1, layer[b])]
        for dummy in dummies:
            rows[dummy[3]].append(dummy)
        chains[a, b] = [a, *dummies, b]
    return rows, chains


def _order(rows: list[list[Vertex]], before: Mapping, after: Mapping) -> None:
    """Sort each layer by the mean position of its neighbours, down and up in turn, and keep the fewest crossings."""
    best, fewest = [list(row) for row in rows], _crossings(rows, after)
    for sweep in range(_SWEEPS):
        neighbours, order = (before, rows[1:]) if sweep % 2 == 0 else (after, rows[-2::-1])
        for row in order:
            position = {v: i for other in rows for i, v in enumerate(other)}
            own = {v: i for i, v in enumerate(row)}
            row.sort(key=lambda v: _mean([position[n] for n in neighbours[v]], own[v]))
        crossings = _crossings(rows, after)
        if crossings < fewest:
            best, fewest = [list(row) for row in rows], crossings
    rows[:] = best


def _mean(values: list, otherwise: float) -> float:
    return sum(values) / len(values) if values else otherwise


def _crossings(rows: list[list[Vertex]], after: Mapping) -> int:
    total = 0
    for row, below in zip(rows, rows[1:]):
        position = {v: i for i, v in enumerate(below)}
        ends = [position[t] for v in row for t in sorted(after[v], key=position.__getitem__)]
        total += sum(earlier > later for i, earlier in enumerate(ends) for later in ends[i + 1 :])
    return total


def _places(
    rows: list[list[Vertex]], before: Mapping, after: Mapping, extents: Mapping[Vertex, float], gap: float
) -> dict[Vertex, float]:
    """Places within the layers: each near the middle of its neighbours, none over another."""
    place: dict[Vertex, float] = {}
    for row in rows:
        at = 0.0
        for v in row:
            place[v] = at + extents.get(v, 0.0) / 2
            at += extents.get(v, 0.0) + gap
        for v in row:
            place[v] -= (at - gap) / 2
    for sweep in range(2 * _SWEEPS):
        neighbours = (before, after)[sweep % 2]
        for row in rows if sweep % 2 == 0 else reversed(rows):
            wanted = [_mean([place[n] for n in neighbours[v]], place[v]) for v in row]
            distances = [(extents.get(a, 0.0) + extents.get(b, 0.0)) / 2 + gap for a, b in zip(row, row[1:])]
            for v, at in zip(row, _apart(wanted, distances)):
                place[v] = at
    return place


def _apart(wanted: list[float], distances: list[float]) -> list[float]:
    """The places closest to the wanted ones, in the sense of least squares, that keep order and distances.

    With the distances taken off this is isotonic regression, solved by pooling neighbours that violate the order.
    """
    offsets = [0.0]
    for distance in distances:
        offsets.append(offsets[-1] + distance)
    blocks: list[list[float]] = []  # mean, number of members
    for value, offset in zip(wanted, offsets):
        blocks.append([value - offset, 1.0])
        while len(blocks) > 1 and blocks[-2][0] > blocks[-1][0]:
            mean, members = blocks.pop()
            total = blocks[-1][1] + members
            blocks[-1] = [(blocks[-1][0] * blocks[-1][1] + mean * members) / total, total]
    means = [mean for mean, members in blocks for _ in range(int(members))]
    return [mean + offset for mean, offset in zip(means, offsets)]
