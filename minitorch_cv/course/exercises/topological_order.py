r"""In which order does a tape go back?

A node may hand its gradient on only when all of it has arrived: every node that *uses* it must have had its turn. An
order of that kind is a **topological order**, here from the loss to the inputs: each node $v$ comes before all nodes
that it was computed from, its parents,

$$
u \in \mathrm{parents}(v) \;\Rightarrow\; \mathrm{place}(v) < \mathrm{place}(u) .
$$

In the lesson `b` once went too early, and a path was lost. The package's engine numbers its nodes as they are made and
sorts by that. Here there are no numbers: you get a graph as a dict, its entries in any order, and have to find an order
by yourself.

Three things to take care of:

- only what the loss depends on belongs into the order, each node once;
- the same node may be a parent twice, as in `y = x + x`;
- a chain may be thousands of nodes long, and Python gives up on recursion after a thousand calls.

More than one order may be right: yours is judged by what it has to fulfil.
"""


# %% student
def topological_order(parents, loss):
    """The nodes that the loss depends on, as a list: the loss first, each node before all of its parents.

    parents: a dict, node -> list of the nodes that it was computed from; inputs of the program have an empty list.
    """
    # begin solution
    waiting = {}  # node -> how many of its uses have not had their turn
    found = [loss]
    for node in found:
        for parent in parents[node]:
            if parent not in waiting:
                waiting[parent] = 0
                found.append(parent)
            waiting[parent] += 1
    order = [loss]
    for node in order:
        for parent in parents[node]:
            waiting[parent] -= 1
            if waiting[parent] == 0:
                order.append(parent)
    return order
    # end solution


# %% checks
from minitorch_cv.course.checks import Property
from minitorch_cv.course.exercise import About, Mistake


def problem(order, parents, loss):
    """What is wrong with an order."""
    needed, reached = [loss], {loss}
    for node in needed:
        new = [parent for parent in dict.fromkeys(parents[node]) if parent not in reached]
        needed += new
        reached |= set(new)
    if unknown := [node for node in order if node not in parents]:
        return f"{unknown[0]!r} is no node of the graph"
    place = {node: i for i, node in enumerate(order)}
    if len(place) < len(order):
        twice = next(node for node in order if order.count(node) > 1)
        return f"{twice!r} is in the order more than once"
    if len(missing := reached - set(order)):
        return f"{len(missing)} nodes that the loss depends on are missing, {min(missing)!r} among them"
    if strange := [node for node in order if node not in reached]:
        return f"the loss does not depend on {strange[0]!r}"
    for node in order:
        for parent in parents[node]:
            if place[parent] < place[node]:
                return f"{parent!r} comes before {node!r}, which uses it and has not had its turn"
    return ""


def _shuffled(parents, rng):
    """The same graph with new names, its entries in any order."""
    names = rng.permutation(len(parents))
    new = {node: f"v{names[i]}" for i, node in enumerate(parents)}
    entries = [(new[node], [new[parent] for parent in its]) for node, its in parents.items()]
    return {entries[i][0]: entries[i][1] for i in rng.permutation(len(entries))}, new


def draw(rng):
    """The lesson's graph, diamonds, a node used twice, random graphs with more than the loss needs, a long chain."""
    graph, new = _shuffled({"a": [], "b": ["a", "a"], "c": ["a", "b"], "L": ["b", "c"]}, rng)
    yield graph, new["L"]
    diamonds = {0: []}
    for i in range(0, 3 * 20, 3):  # a walk over all paths would take 2 ** 20 steps
        diamonds |= {i + 1: [i], i + 2: [i], i + 3: [i + 1, i + 2]}
    graph, new = _shuffled(diamonds, rng)
    yield graph, new[60]
    for count in (12, 40):
        graph = {i: [int(p) for p in rng.integers(0, i, rng.integers(0, 4))] if i else [] for i in range(count)}
        loss = count - 3
        graph[loss] = [loss - 1, loss - 4, int(rng.integers(0, 3))]
        graph[loss - 1] = [loss - 4, loss - 2]
        graph, new = _shuffled(graph, rng)
        yield graph, new[loss]
    length = int(rng.integers(2500, 3500))
    graph, new = _shuffled({i: [i - 1, max(i - 3, 0)] if i else [] for i in range(length)}, rng)
    yield graph, new[length - 1]


about = About(
    lesson="00_backprop",
    source="Kahn 1962, Topological sorting of large networks; section 2 of the lesson",
    points=4,
    difficulty=2,
)
checks = [Property("topological_order", draw, problem)]
mistakes = [
    Mistake(
        "breadth first",
        "            waiting[parent] -= 1\n            if waiting[parent] == 0:\n",
        "            if parent not in order:\n",
        "Here a node goes as soon as *one* of its users has gone. If another user comes later, what that one sends "
        "arrives too late. When has all of it arrived?",
    ),
    Mistake(
        "every use counted from the whole graph",
        "    for node in found:\n",
        "    found = list(parents)\n    waiting = dict.fromkeys(parents, 0)\n    for node in found:\n",
        "A node may also be used by something that the loss does not depend on. Such a user never gets a turn: whoever "
        "waits for it waits for ever.",
    ),
    Mistake(
        "a node used twice counted once",
        "for parent in parents[node]:\n            waiting[parent] -= 1",
        "for parent in dict.fromkeys(parents[node]):\n            waiting[parent] -= 1",
        "In `x + x` the node x has two uses. Count them in the same way where they are counted up and where they are "
        "counted down.",
    ),
]
hints = [
    "A node is ready when all of its uses have had their turn. How many uses does it have? That can be counted first.",
    "Go through the graph from the loss once and count, for each node that is reached, how often it is used. Then go "
    "from the loss again: each node that has its turn takes one off the count of each parent.",
    "A list that grows while a `for` loop walks over it is a queue: no recursion is needed.",
]
