"""What surrounds a lesson: its mode, its settings, and where figures and numbers go."""

import json
import subprocess
import sys

import numpy as np
import pytest
from matplotlib.figure import Figure

from minitorch_cv.course import Lesson


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["kernel", "-f", "connection.json"])
    monkeypatch.delenv("MINITORCH_CV_LESSON", raising=False)


@pytest.mark.parametrize(
    ("arguments", "variable", "mode", "epochs"),
    [
        ([], None, "default", 12),
        (["--quick"], None, "quick", 2),
        (["--full"], "quick", "full", 40),
        ([], "quick", "quick", 2),
    ],
)
def test_the_mode_chooses_the_settings(monkeypatch, arguments, variable, mode, epochs):
    monkeypatch.setattr(sys, "argv", ["01_topic.py", *arguments])
    if variable:
        monkeypatch.setenv("MINITORCH_CV_LESSON", variable)
    lesson = Lesson("topic", epochs=(2, 12, 40))
    assert lesson.mode == mode and lesson.settings.epochs == epochs


def test_arguments_of_a_kernel_are_let_alone():
    assert Lesson("topic").mode == "default"


def test_an_unknown_mode_is_named(monkeypatch):
    monkeypatch.setenv("MINITORCH_CV_LESSON", "fast")
    with pytest.raises(SystemExit, match="expects one of quick, default, full; it is 'fast'"):
        Lesson("topic")


@pytest.mark.parametrize("argument", ["--qiuck", "--quic", "quick"])
def test_a_lesson_refuses_arguments_that_it_does_not_know(tmp_path, argument):
    script = tmp_path / "07_topic.py"
    script.write_text("from minitorch_cv.course import Lesson\nLesson('topic')\n", encoding="utf-8")
    run = subprocess.run([sys.executable, script, argument], capture_output=True, encoding="utf-8", check=False)
    assert run.returncode == 2
    assert run.stderr.endswith(f"error: expects --quick or --full; it is {argument}\n")


def test_numbers_and_figures_are_kept(tmp_path, capsys):
    lesson = Lesson("topic")
    lesson.record(accuracy=np.float32(0.5), losses=np.array([1.0, np.nan]), best=(3, float("inf")))
    lesson.figure(Figure(), "empty")
    lesson.finish()
    folder = tmp_path / "out" / "topic"
    assert sorted(path.name for path in folder.iterdir()) == ["empty.png", "results.json"]
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    assert results.pop("seconds") >= 0
    assert results == {"mode": "default", "accuracy": 0.5, "losses": [1.0, None], "best": [3, None]}
    assert "empty.png" in capsys.readouterr().out
