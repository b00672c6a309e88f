"""Every lesson runs as a notebook, in its quick mode."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jupytext
import pytest
from nbclient import NotebookClient

pytestmark = pytest.mark.checkout

LESSONS = sorted(Path(__file__).parents[1].glob("lessons/[0-9][0-9]_*.py"))
FAST_CPU = Path(__file__).parents[1] / "lessons" / "09_fast_cpu.py"
KERNELS = FAST_CPU.with_name("08_kernels.py")


def test_there_are_lessons():
    assert len(LESSONS) >= 3


@pytest.mark.slow  # a whole lesson, with what it trains
@pytest.mark.parametrize("path", LESSONS, ids=lambda path: path.stem)
def test_runs_as_a_notebook(path, tmp_path, monkeypatch):
    if path == FAST_CPU:
        pytest.importorskip("numba")
    monkeypatch.setenv("MINITORCH_CV_LESSON", "quick")
    monkeypatch.setenv("JUPYTER_PLATFORM_DIRS", "1")  # the older layout of Jupyter's folders warns
    notebook = jupytext.read(path)
    NotebookClient(
        notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    results = json.loads((tmp_path / "out" / path.stem[3:] / "results.json").read_text(encoding="utf-8"))
    assert results["mode"] == "quick"
    assert any("image/png" in output.get("data", {}) for cell in notebook.cells for output in cell.get("outputs", ()))


def test_a_lesson_takes_one_mode():
    run = subprocess.run(
        [sys.executable, LESSONS[0], "--quick", "--full"], capture_output=True, text=True, encoding="utf-8", check=False
    )
    assert run.returncode == 2
    assert run.stderr.endswith("error: argument --full: not allowed with argument --quick\n")


def test_a_lesson_of_kernels_without_numba():
    code = f"import sys; sys.modules['numba'] = None; import runpy; runpy.run_path({str(FAST_CPU)!r})"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, encoding="utf-8", check=False)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith("This lesson compiles kernels, for which it needs numba and llvmlite (")
    assert run.stdout.count("\n") == 1


def test_the_lesson_of_cuda_kernels_without_a_compiler(tmp_path):
    environment = {**os.environ, "MINITORCH_CV_CXX": "no-such-compiler"}
    script = shutil.copy(KERNELS, tmp_path)  # so that its figures land there
    run = subprocess.run(
        [sys.executable, script, "--quick"],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    assert run.returncode == 0, run.stderr
    assert "there is no no-such-compiler" in run.stdout
    results = json.loads((tmp_path / "out" / "kernels" / "results.json").read_text(encoding="utf-8"))
    assert set(results["ladder"]["mma"]) == {"derived"}
    assert (tmp_path / "out" / "kernels" / "ladder.png").exists()
