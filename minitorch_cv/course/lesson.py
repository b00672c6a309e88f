"""What a lesson needs around its subject: how long to run, where figures and numbers go."""

from __future__ import annotations

import json
import os
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

    def figure(self, figure: Any, name: str) -> None:
        """Keep a figure as <name>.png, and show it where a notebook runs."""
        path = self.folder / f"{name}.png"
        partial = path.with_suffix(".part.png")
        figure.savefig(partial, dpi=120, bbox_inches="tight")
        os.replace(partial, path)
        if _in_notebook():
            from IPython.display import Image, display  # pyright: ignore[reportMissingImports]

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
        partial.write_text(json.dumps(self.results, indent=2, default=float) + "\n", encoding="utf-8")
        os.replace(partial, path)
        print(f"{self.mode} run of {self.topic}: {self.results['seconds']} s")
        print(f"figures and results.json are in {_short(self.folder)}")


def _mode() -> str:
    flags = [mode for mode in MODES if f"--{mode}" in sys.argv[1:]]
    if len(flags) > 1:
        raise SystemExit("lesson: choose one of --quick and --full")
    mode = flags[0] if flags else os.environ.get("MINITORCH_CV_LESSON", "default")
    if mode not in MODES:
        raise SystemExit(f"lesson: MINITORCH_CV_LESSON expects one of {', '.join(MODES)}; it is {mode!r}")
    return mode


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
