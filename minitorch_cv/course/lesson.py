"""What a lesson needs around its subject: how long to run, where figures and numbers go."""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any

MODES = ("quick", "default", "full")


class Lesson:
    """A run of a lesson: its mode, the settings that belong to it, and its results.

    As a script a lesson takes `--quick` or `--full`; in a notebook the environment variable MINITORCH_CV_LESSON says
    "quick", "default" or "full". `settings` holds, for each name, the value of the mode that was chosen from
    (quick, default, full). Figures and `results.json` go to lessons/out/<topic>/ in a checkout, elsewhere to
    out/<topic>/ in the current folder.
    """

    def __init__(self, topic: str, **settings: tuple[Any, Any, Any]):
        self.topic, self.mode = topic, _mode()
        self.settings = SimpleNamespace(**{name: values[MODES.index(self.mode)] for name, values in settings.items()})
        self.folder = _folder() / "out" / topic
        self.folder.mkdir(parents=True, exist_ok=True)
        self.results: dict[str, Any] = {"mode": self.mode}
        self._began = time.perf_counter()
        if not _in_notebook():
            print(f"{topic}: the {self.mode} run. The text stands beside the code, in the lesson's file.")
        if self.mode == "quick":
            print("The quick run shows that everything works; its nets are hardly trained, its numbers say nothing.")

    def section(self, title: str) -> None:
        """Say in a terminal which section begins; in a notebook its heading stands above the cell."""
        if not _in_notebook():
            print(f"\n== {title}", flush=True)

    def figure(self, figure: Any, name: str) -> None:
        """Keep a figure as <name>.png, and show it where a notebook runs."""
        path = self.folder / f"{name}.png"
        partial = path.with_suffix(".part.png")
        figure.savefig(partial, dpi=120, bbox_inches="tight")
        os.replace(partial, path)
        if _in_notebook():
            from IPython.display import Image, display  # pyright: ignore[reportPrivateImportUsage]

            display(Image(filename=str(path)))
        else:
            print(f"  figure: {_short(path)}")
        import matplotlib.pyplot as plt

        plt.close(figure)

    def record(self, **numbers: Any) -> None:
        """Keep numbers that the lesson states."""
        self.results.update(numbers)

    def finish(self) -> None:
        """Write the numbers and say where everything lies."""
        self.results["seconds"] = round(time.perf_counter() - self._began, 1)
        path = self.folder / "results.json"
        partial = path.with_suffix(".part")
        text = json.dumps(_plain(self.results), indent=2, allow_nan=False, default=float)
        partial.write_text(text + "\n", encoding="utf-8")
        os.replace(partial, path)
        print(f"{self.mode} run of {self.topic}: {self.results['seconds']} s")
        print(f"figures and results.json are in {_short(self.folder)}")


def _mode() -> str:
    mode = _mode_asked_for() or os.environ.get("MINITORCH_CV_LESSON", "default")
    if mode not in MODES:
        raise SystemExit(f"lesson: MINITORCH_CV_LESSON expects one of {', '.join(MODES)}; it is {mode!r}")
    return mode


def _mode_asked_for() -> str | None:
    """The mode that the command line asks for. A script of lessons refuses other arguments; a notebook has its own."""
    parser = argparse.ArgumentParser(description="Run a lesson.", allow_abbrev=False)
    modes = parser.add_mutually_exclusive_group()
    for mode, text in (
        ("quick", "every cell, at a size that takes under a minute"),
        ("full", "the experiments at a size for a GPU"),
    ):
        modes.add_argument(f"--{mode}", dest="mode", action="store_const", const=mode, help=text)
    known, others = parser.parse_known_args()
    if others and re.fullmatch(r"\d\d_\w+\.py", Path(sys.argv[0]).name):
        parser.error(f"expects --quick or --full; it is {' '.join(others)}")
    return known.mode


def _plain(value: Any) -> Any:
    """Numbers of any kind in the types of JSON, which has no NaN and no infinity: None stands for them."""
    if isinstance(value, dict):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _folder() -> Path:
    """The checkout's lessons/ where a script of it is run; the current folder elsewhere."""
    folder = Path(sys.argv[0] if sys.argv else "").resolve().parent
    return folder if folder.name == "lessons" and (folder.parent / "pyproject.toml").is_file() else Path.cwd()


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _in_notebook() -> bool:
    return "ipykernel" in sys.modules and "IPython" in sys.modules
