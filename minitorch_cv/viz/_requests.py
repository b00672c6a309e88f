"""What a warp's request of memory touches: sectors of a matrix, banks of shared memory."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from ._style import BLUE, COLORS, GREY, canvas

SECTOR_WORDS, BANKS = 8, 32
"""Of 4 bytes each."""


def sectors(shape: tuple[int, int], words: Sequence[int], title: str = "", ax: Axes | None = None) -> Figure:
    """A matrix of float32 in memory, and which of its 32-byte sectors a request for `words` brings.

    words: for each lane of a warp the number that it wants, counted from the matrix's first. Wanted numbers are dark,
    what comes with them is light.
    Raises: ValueError for a word outside of the matrix, or a width that is no multiple of 8.
    """
    rows, columns = shape
    if columns % SECTOR_WORDS or not all(0 <= word < rows * columns for word in words):
        raise ValueError(f"sectors: words expects numbers of a matrix {shape}, whose width is a multiple of 8")
    figure, axes = canvas(ax, 5.2, 0.8 + 5.2 * rows / columns)
    wanted = np.zeros(rows * columns, bool)
    wanted[list(words)] = True
    brought = np.repeat(wanted.reshape(-1, SECTOR_WORDS).any(1), SECTOR_WORDS)
    picture = np.ones((rows * columns, 3))
    picture[brought] = 0.99, 0.86, 0.62
    picture[wanted] = 0, 0.447, 0.698
    axes.imshow(picture.reshape(rows, columns, 3), aspect="equal", interpolation="nearest")
    axes.set_xticks(np.arange(0, columns, SECTOR_WORDS) - 0.5, range(0, columns, SECTOR_WORDS), fontsize=7)
    axes.set_yticks(np.arange(0, rows, SECTOR_WORDS), range(0, rows, SECTOR_WORDS), fontsize=7)
    axes.set_xticks(np.arange(columns) - 0.5, minor=True)
    axes.set_yticks(np.arange(rows) - 0.5, minor=True)
    axes.grid(which="minor", color="#E4E4E4", linewidth=0.4)
    axes.grid(which="major", axis="x", color=GREY, linewidth=0.8)
    axes.tick_params(which="both", length=0)
    count, lanes = int(brought.sum()) // SECTOR_WORDS, len(words)
    told = f"{count} sector{'s' * (count != 1)} for {lanes} lanes: {4 * len(set(words))} of {32 * count} bytes wanted"
    axes.set_title(f"{title}\n{told}" if title else told, fontsize=10)
    return figure


def banks(words: Sequence[int], title: str = "", ax: Axes | None = None) -> Figure:
    """Which of the 32 banks of shared memory each lane of a warp wants; numbers of one bank wait for each other.

    words: for each lane the 4-byte word that it reads. A word that several lanes want is read once. The first number of
    each bank is drawn in one colour, the second in another: as many colours as wavefronts.
    Raises: ValueError for a negative word.
    """
    if not len(words) or min(words) < 0:
        raise ValueError("banks: words expects at least one, none negative")
    lanes: dict[int, list[int]] = {}
    for lane, word in enumerate(words):
        lanes.setdefault(int(word), []).append(lane)
    rows = max(lanes) // BANKS + 1
    figure, axes = canvas(ax, 9, 1.1 + 0.28 * rows)
    turn = [0] * BANKS
    for row in range(rows):
        for bank in range(BANKS):
            who = lanes.get(row * BANKS + bank, [])
            color = COLORS[turn[bank] % len(COLORS)] if who else "white"
            turn[bank] += bool(who)
            axes.add_patch(Rectangle((bank, row), 1, 1, facecolor=color, edgecolor="#BBBBBB", linewidth=0.6))
            text = f"{who[0]}" + ("+" if len(who) > 1 else "") if who else ""
            light = color in (BLUE, COLORS[1], COLORS[2], COLORS[6])
            axes.text(
                bank + 0.5, row + 0.5, text, ha="center", va="center", fontsize=7, color="white" if light else "black"
            )
    axes.set(xlim=(0, BANKS), ylim=(rows, 0))
    axes.set_xticks(np.arange(BANKS) + 0.5, range(BANKS), fontsize=6)
    axes.set_yticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    told = f"{max(turn)} wavefront{'s' * (max(turn) != 1)}"
    axes.set_title(f"{title}: {told}" if title else told, fontsize=10)
    return figure
