"""Times of several functions, taken in turns, so that a change of the machine's speed meets all of them.

A round gives each function its turn: a pause, one call that is not timed, then calls for a while. In the pause the
threads of the library that ran before stop watching for work and sleep; without it they would slow the next one down.
While a turn lasts, the machine is watched: where other processes used more than an eighth of a core's time, the whole
round is done again, up to a limit. What is reported is the median of the calls in clean rounds.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from typing import NamedTuple

PAUSE = 0.03
FOREIGN = 0.125


class Times(NamedTuple):
    """Seconds a call."""

    median: dict[str, float]
    fastest: dict[str, float]
    rounds: list[dict[str, float]]
    """The median of each round that counts."""
    foreign_load: bool
    """Whether other processes ran in so many rounds that those had to count too."""
    repeated: int
    """How many rounds were thrown away because of foreign load."""

    def ratio(self, name: str, other: str) -> float:
        return self.median[name] / self.median[other]

    def spread(self, name: str, other: str) -> tuple[float, float]:
        """The smallest and the largest ratio in a round."""
        ratios = [medians[name] / medians[other] for medians in self.rounds]
        return min(ratios), max(ratios)


def processor_seconds() -> float | None:
    """How long the machine's cores have worked since its start, for whomever; None where that is not told."""
    try:
        with open("/proc/stat", encoding="ascii") as file:
            user, nice, system, _, _, *rest = map(int, file.readline().split()[1:9])
    except (OSError, ValueError):
        return None
    return (user + nice + system + sum(rest)) / os.sysconf("SC_CLK_TCK")


def seconds_of(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def turn(call: Callable[[], object], calls: int, warm: bool) -> tuple[list[float], bool]:
    """Seconds of each call, and whether other processes worked meanwhile."""
    time.sleep(PAUSE)
    if warm:
        call()
    machine, own, start = processor_seconds(), time.process_time(), time.perf_counter()
    seconds = [seconds_of(call) for _ in range(calls)]
    if machine is None:
        return seconds, False
    after = processor_seconds()
    foreign = (after or 0.0) - machine - (time.process_time() - own)
    return seconds, foreign > FOREIGN * (time.perf_counter() - start) + 0.02  # the machine counts in steps of 0.01


def alternate(
    functions: dict[str, Callable[[], object]],
    rounds: int = 7,
    seconds: float = 0.25,
    repetitions: int = 2,
    warm_limit: float = 1.0,
    costs: dict[str, float] | None = None,
) -> Times:
    """Medians over `rounds` rounds whose turns take `seconds` each, or one call where that is longer.

    Up to `repetitions` times as many rounds are tried for clean ones. Functions whose call takes longer than
    `warm_limit` seconds are not called untimed. `costs` are seconds of a call, where they are known already; else each
    function is called twice to learn them.
    """
    calls, warm = {}, {}
    for name, call in functions.items():
        cost = costs[name] if costs else max(min(seconds_of(call) for _ in range(2)), 1e-6)
        calls[name], warm[name] = max(1, min(100, int(seconds / cost))), cost < warm_limit
    clean, loaded = [], []
    while len(clean) < rounds and len(clean) + len(loaded) < rounds * repetitions:
        turns = {name: turn(call, calls[name], warm[name]) for name, call in functions.items()}
        disturbed = any(foreign for _, foreign in turns.values())
        (loaded if disturbed else clean).append({name: taken for name, (taken, _) in turns.items()})
    enough = len(clean) >= max(2, rounds // 2)
    counted = clean if enough else clean + loaded
    pooled = {name: [s for taken in counted for s in taken[name]] for name in functions}
    return Times(
        {name: statistics.median(values) for name, values in pooled.items()},
        {name: min(values) for name, values in pooled.items()},
        [{name: statistics.median(taken[name]) for name in functions} for taken in counted],
        not enough,
        len(loaded) if enough else 0,
    )
