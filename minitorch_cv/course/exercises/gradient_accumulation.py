r"""The reverse pass over a tape.

A program of numbers, as it was recorded: a list of steps, the oldest first. A step names its operation and the numbers
of the earlier steps that it takes; the last step is the loss.

```
[("input", 2.0), ("mul", 0, 0), ("mul", 0, 1), ("add", 1, 2)]      # a, b = a a, c = a b, L = b + c
```

There are five operations, with these values and local slopes:

$$
u + v, \qquad u\,v, \qquad e^{u}, \qquad \max(u, 0), \qquad \frac{u}{v} .
$$

You are given the forward pass. Write the backward pass: one walk over the tape that finds $\partial L / \partial v$ for
*every* step at once, at the price of about one more forward pass. A value that is used in several places collects what
comes back from each of them; a step that the loss does not depend on has slope 0. Remember what `y = y + y` does when
it stands there forty times. At 0 the slope of $\max(u, 0)$ is 0, as everywhere in this package.
"""

# %% student
import math

VALUE = {
    "add": lambda u, v: u + v,
    "mul": lambda u, v: u * v,
    "div": lambda u, v: u / v,
    "exp": lambda u: math.exp(u),
    "relu": lambda u: max(u, 0.0),
}


def forward(tape):
    """The value of each step, as a list."""
    values = []
    for name, *operands in tape:
        values.append(operands[0] if name == "input" else VALUE[name](*(values[j] for j in operands)))
    return values


def slopes(tape):
    """The slope of the last step's value with respect to the value of each step, as a list."""
    # begin solution
    local = {  # of a step's value y, and of its operands
        "add": lambda y, u, v: (1.0, 1.0),
        "mul": lambda y, u, v: (v, u),
        "div": lambda y, u, v: (1 / v, -y / v),
        "exp": lambda y, u: (y,),
        "relu": lambda y, u: (1.0 if u > 0 else 0.0,),
    }
    values = forward(tape)
    slope = [0.0] * len(tape)
    slope[-1] = 1.0
    for i in reversed(range(len(tape))):
        name, *operands = tape[i]
        if name != "input":
            factors = local[name](values[i], *(values[j] for j in operands))
            for j, factor in zip(operands, factors):
                slope[j] += slope[i] * factor
    return slope
    # end solution


# %% checks
from minitorch_cv.course.checks import Values
from minitorch_cv.course.exercise import About, Mistake


def random_tape(rng, length):
    """Values of both signs that stay small, zeros of relu among them; divisors of 1/4 or more."""
    tape: list[tuple] = [("input", float(v)) for v in rng.uniform(0.5, 2.0, 3)] + [
        ("input", float(-rng.uniform(0.5, 1.5)))
    ]
    while len(tape) < length:
        values = forward(tape)
        a, b = (int(i) for i in rng.choice([i for i, v in enumerate(values) if abs(v) <= 4.0], 2))
        step = [("add", a, b), ("mul", a, b), ("div", a, b), ("exp", a), ("relu", a)][rng.integers(5)]
        if (step[0] != "div" or abs(values[b]) >= 0.25) and abs(forward([*tape, step])[-1]) <= 8.0:
            tape.append(step)
    return tape


def draw(rng):
    """Each operation by itself in one program, y = y + y, diamonds, random programs with values never used."""
    u, v = (float(value) for value in rng.uniform(0.5, 1.5, 2))
    tape = [("input", u), ("input", -v), ("div", 0, 1), ("exp", 2), ("mul", 3, 0), ("add", 4, 1), ("relu", 5)]
    yield ([*tape, ("relu", 1), ("exp", 7), ("add", 8, 6)],)
    yield ([("input", u), *[("add", i, i) for i in range(40)]],)
    tape = [("input", v), ("input", -u), ("relu", 1), ("add", 0, 2)]
    for _ in range(int(rng.integers(5, 9))):
        last = len(tape) - 1
        tape += [("mul", last, 0), ("exp", 0), ("div", last + 1, last + 2)]
    yield (tape,)
    for length in (20, 60):
        tape = random_tape(rng, length)
        for _ in range(4):  # what would be left over, in part
            tape.append(("add", len(tape) - 1, int(rng.integers(4, length))))
        yield (tape,)
    yield ([("input", 1.0), ("input", u), *[("mul", i + 1, 0) for i in range(int(rng.integers(1500, 2500)))]],)


about = About(
    lesson="00_backprop",
    source="Linnainmaa 1970; Rumelhart, Hinton and Williams 1986; section 2 of the lesson",
    operations=("add", "multiply", "divide", "exp", "relu"),
    points=4,
    difficulty=2,
)
checks = [Values("slopes", draw)]
mistakes = [
    Mistake(
        "overwritten",
        "slope[j] += slope[i] * factor",
        "slope[j] = slope[i] * factor",
        "A value that has been used elsewhere, or twice in one step, already holds a slope. What has to happen to it?",
    ),
    Mistake(
        "the divisor's sign",
        "(1 / v, -y / v)",
        "(1 / v, y / v)",
        "If the divisor grows, what does the quotient do?",
    ),
    Mistake(
        "the divisor's square",
        "(1 / v, -y / v)",
        "(1 / v, -u / v)",
        "Differentiate $u\\,v^{-1}$ by $v$ once more: which power of $v$ is left?",
    ),
    Mistake(
        "relu as the identity",
        "(1.0 if u > 0 else 0.0,)",
        "(1.0,)",
        "Where $u$ is below zero, $\\max(u, 0)$ does not move when $u$ does.",
    ),
    Mistake(
        "the exponential of the wrong value",
        "(y,)",
        "(u,)",
        "The slope of $e^u$ is $e^u$. Which entry of `values` is that, the operand's or the step's own?",
    ),
]
hints = [
    "The tape is in the order in which it was computed, so from the end to the beginning it is a topological order.",
    "Begin with slopes of 0 for all and 1 for the last. Each step adds to the slopes of its operands: its own slope "
    "times the local one.",
    "`y + y` has two operands that happen to be the same step. If each of them adds, it comes out by itself.",
]
