"""The command minitorch-cv, as a user runs it: in a process of its own, judged by its output and exit code."""

import json
import os
import subprocess
import sys

import pytest

from minitorch_cv import _doctor, _lessons, cli


def command(*arguments: str, encoding: str = "utf-8", **environment: str) -> subprocess.CompletedProcess:
    """Runs `python -m minitorch_cv ARGUMENTS` and returns what came of it."""
    return subprocess.run(
        [sys.executable, "-m", "minitorch_cv", *arguments],
        capture_output=True,
        encoding=encoding,
        env={**os.environ, **environment},
    )


SCRIPT = """# %% [markdown]
# # {title}
# The question.

# %%
import sys
import neighbour
print(__name__, sys.argv[1:], neighbour.VALUE, __file__)
"""


@pytest.fixture
def lessons_folder(tmp_path, monkeypatch):
    """A folder with two lessons and a module beside them."""
    (tmp_path / "00_backprop.py").write_text(SCRIPT.format(title="What is a gradient?"), encoding="utf-8")
    (tmp_path / "01_alexnet.py").write_text(SCRIPT.format(title="AlexNet"), encoding="utf-8")
    (tmp_path / "neighbour.py").write_text("VALUE = 7\n", encoding="utf-8")
    monkeypatch.setattr(_lessons, "lessons_folder", lambda: tmp_path)
    return tmp_path


def test_help_teaches_by_examples():
    done = command("--help")
    assert done.returncode == 0
    for name in ("lessons", "lesson", "gradcheck", "models", "summary", "classify", "sample", "doctor"):
        assert f"minitorch-cv {name}" in done.stdout, f"no example of {name}"


@pytest.mark.parametrize("name", ["lesson", "gradcheck", "summary", "classify", "sample", "doctor"])
def test_every_command_has_its_own_help(name):
    done = command(name, "--help")
    assert done.returncode == 0
    assert done.stdout.startswith(f"usage: minitorch-cv {name}")


def test_help_loads_nothing_heavy():
    code = """
import sys
from minitorch_cv import cli
try:
    cli.main(["--help"])
except SystemExit:
    pass
heavy = [name for name in ("numba", "matplotlib", "rich", "cupy", "torch", "pooch") if name in sys.modules]
sys.exit(f"loaded: {heavy}" if heavy else 0)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr


def test_without_a_command_the_help_is_shown():
    done = command()
    assert done.returncode == 2
    assert "minitorch-cv doctor" in done.stdout


def test_version_and_place():
    done = command("--version")
    assert done.returncode == 0
    assert done.stdout.startswith("minitorch-cv 0.")


def test_lessons_are_listed_with_their_titles(lessons_folder, capsys):
    assert cli.main(["lessons"]) == 0
    assert capsys.readouterr().out.splitlines()[:2] == ["00_backprop  What is a gradient?", "01_alexnet   AlexNet"]


def test_no_lessons_is_said(lessons_folder, capsys):
    for path in lessons_folder.glob("*.py"):
        path.unlink()
    assert cli.main(["lessons"]) == 2
    assert str(lessons_folder) in capsys.readouterr().err


@pytest.mark.parametrize("name", ["01_alexnet", "01_alexnet.py", "alexnet", "01", "1"])
def test_a_lesson_runs_by_any_of_its_names(lessons_folder, capsys, name):
    before = sys.argv, list(sys.path)
    assert cli.main(["lesson", name, "--quick"]) == 0
    assert capsys.readouterr().out == f"__main__ ['--quick'] 7 {lessons_folder / '01_alexnet.py'}\n"
    assert (sys.argv, sys.path) == before


def test_an_unknown_lesson_is_answered_with_the_known_ones(lessons_folder, capsys):
    assert cli.main(["lesson", "alexnett"]) == 2
    message = capsys.readouterr().err
    assert "00_backprop, 01_alexnet" in message
    assert "did you mean alexnet?" in message


def test_quick_and_full_exclude_each_other():
    done = command("lesson", "alexnet", "--quick", "--full")
    assert done.returncode == 2
    assert "not allowed with" in done.stderr


def test_a_lesson_that_is_interrupted_ends_with_130(lessons_folder, capsys):
    (lessons_folder / "02_long.py").write_text("raise KeyboardInterrupt\n", encoding="utf-8")
    assert cli.main(["lesson", "long"]) == 130


def test_every_real_lesson_is_found_and_titled(checkout):
    lessons = _lessons.all_lessons()
    assert [lesson.path for lesson in lessons] == sorted((checkout / "lessons").glob("[0-9][0-9]_*.py"))
    assert all(lesson.title != lesson.topic.replace("_", " ") for lesson in lessons), "a lesson lacks a heading"


def test_the_ledger_of_alexnet():
    done = command("summary", "alexnet", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["parameters"] == 61_100_840
    assert json.loads(done.stdout)["model"] == "alexnet"
    table = command("summary", "alexnet")
    assert table.returncode == 0, table.stderr
    assert "61,100,840" in table.stdout


def test_an_image_that_does_not_fit_is_explained():
    done = command("summary", "alexnet", "--input", "1,224,224")
    assert done.returncode == 2
    assert "alexnet does not take an image of 1,224,224: conv2d: " in done.stderr


def test_an_unknown_model_is_answered_with_the_known_ones():
    done = command("summary", "alexnett")
    assert done.returncode == 2
    assert "alexnet" in done.stderr.partition("expects one of ")[2]
    assert "it is 'alexnett' (did you mean alexnet?)" in done.stderr


@pytest.mark.parametrize("shape", ["3,224", "3,224,", "0,3,3", "a", "3x224x224"])
def test_a_shape_that_is_none_is_refused(shape):
    done = command("summary", "alexnet", "--input", shape)
    assert done.returncode == 2
    assert "as in 3,224,224" in done.stderr


def test_doctor_finds_this_machine_fit():
    done = command("doctor", "--json")
    findings = {finding["name"]: finding for finding in json.loads(done.stdout)}
    assert done.returncode == 0, [finding for finding in findings.values() if finding["state"] == "broken"]
    assert findings["Python"]["detail"].startswith(sys.version.split()[0])
    assert findings["NumPy"]["state"] == "works"


def test_doctor_survives_what_it_examines(monkeypatch):
    def explode():
        raise OSError("the disk is on fire")

    monkeypatch.setattr(_doctor, "_numpy", explode)
    monkeypatch.setattr(_doctor, "_kernels", list)
    broken = [finding for finding in _doctor.examine() if finding.state == "broken"]
    assert [finding.detail for finding in broken] == ["could not be examined: OSError: the disk is on fire"]


@pytest.mark.parametrize(
    ("smi", "fix"),
    [
        ("NVIDIA H200, 143771 MiB, 580.95.05, 9.0", "pip install -e '.[gpu]'"),
        ("NVIDIA H200, 143771 MiB, 550.54.14, 9.0", "pip install -e '.[gpu12]'"),  # an old driver
        ("Quadro P600, 2048 MiB, 580.95.05, 6.1", "pip install -e '.[gpu12]'"),  # CUDA 13 dropped Pascal
        ("Tesla T4, 15360 MiB, 470.57.02, 7.5", "install an NVIDIA driver of version 525 or newer"),
    ],
)
def test_doctor_prescribes_what_fits_the_driver(monkeypatch, smi, fix):
    monkeypatch.setattr(_doctor, "_output_of", lambda *_: smi)
    assert _doctor._nvidia_driver()[1] == fix


def test_doctor_reports_a_probe_that_crashes_or_hangs():
    assert _doctor._probe("import os; os._exit(3)", seconds=60) == (None, "a trial ended with code 3: no message")
    assert _doctor._probe("raise RuntimeError('gone')", seconds=60)[1].endswith("RuntimeError: gone")
    assert _doctor._probe("while True: pass", seconds=0.5) == (None, "a trial did not end within 0.5 s")


def test_output_is_utf8_where_the_console_is_not():
    done = command("doctor", PYTHONIOENCODING="cp1252", PYTHONUTF8="0")
    assert "✓" in done.stdout


def test_a_closed_pipe_is_no_error():
    code = "import sys; from minitorch_cv.cli import main; sys.exit(main(['--help']))"
    child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    child.stdout.close()
    message = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 0, message
    assert b"Traceback" not in message


def test_models_are_listed_with_their_sizes(capsys):
    assert cli.main(["models"]) == 0
    told = capsys.readouterr().out
    for words in (("resnet50", "25,557,032", "4.089", "yes"), ("zfnet", "62,357,608", "1.168"), ("plain20", "269,722")):
        assert any(all(word in line for word in words) for line in told.splitlines()), words


def test_a_summary_as_a_figure(tmp_path, capsys):
    from PIL import Image

    assert cli.main(["summary", "resnet20", "--figure", str(tmp_path / "ledger.png")]) == 0
    with Image.open(tmp_path / "ledger.png") as drawn:
        assert drawn.size[0] > 600
    assert cli.main(["summary", "resnet20", "--figure", str(tmp_path / "ledger.xyz")]) == 2
    assert "expects png, svg or pdf" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["ledger.png"]
