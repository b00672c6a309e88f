"""Grading: what a hand-in is worth, whatever else it does, and grading on from where it was stopped."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import numpy as np
import pytest
from minitorch_cv.kernels import signatures

import minitorch_cv
from minitorch_cv.cli import main
from minitorch_cv.course import judge as judge_module
from minitorch_cv.course.exercise import find_exercise
from minitorch_cv.course.grade import LIMITS, grade, grade_exercise, grade_handin
from minitorch_cv.course.gradescope_autograder import write_autograder
from minitorch_cv.course.handin import Handin
from minitorch_cv.course.handout import CourseError
from minitorch_cv.course.release import Course, release
from minitorch_cv.course.results import load_result, result_to_json
from minitorch_cv.course.sandbox import Sandbox, Unavailable

NAMES = ("max_pool2d_backward", "receptive_field", "find_faults_linear", "batch_norm_line_by_line")
EXERCISES = [find_exercise(name) for name in NAMES]
SOLUTIONS = {exercise.file: exercise.solution.encode() for exercise in EXERCISES}


@pytest.fixture(scope="module")
def sandbox():
    try:
        return Sandbox.find()
    except Unavailable as reason:
        pytest.skip(f"no sandbox here: {reason}")


@pytest.fixture(scope="module")
def course(tmp_path_factory):
    _, teacher = release(tmp_path_factory.mktemp("course"), EXERCISES, "tests", seed=11)
    return teacher


def status_of(result):
    return {entry.exercise: entry.status for entry in result.exercises}


def test_solutions_have_full_marks_and_stubs_nothing(course, sandbox):
    read = Course.read(course)
    full = grade_handin(read, Handin("full", SOLUTIONS, []), sandbox, 0)
    assert status_of(full) == dict.fromkeys(NAMES, "full")
    assert full.score == full.points == 16
    stubs = {exercise.file: exercise.stub.encode() for exercise in EXERCISES}
    nothing = grade_handin(read, Handin("nothing", stubs, []), sandbox, 0)
    assert status_of(nothing) == dict.fromkeys(NAMES, "not written")
    assert nothing.score == 0
    assert grade_handin(read, Handin("empty", {}, []), sandbox, 0).score == 0


HOSTILE = {
    "an endless loop": ("while True: pass", "ended"),
    "os._exit": ("import os; os._exit(0)", "wrong"),  # the import is not granted
    "an exit": ("raise SystemExit(0)", "wrong"),
    "64 GB": ("np.ones((1 << 33,))", "wrong"),
    "a patched NumPy": ("np.abs = np.array_equal = lambda *a, **k: True; return np.zeros_like(x)", "wrong"),
    "a printed score": ("print('score: 4 of 4'); return np.zeros_like(x)", "wrong"),
    "1 GB printed": ("[print('x' * 2**20) for _ in range(1024)]", "ended"),
    "a forged answer": ("__builtins__['open'](1, 'wb').write(b'x' * 100)", "wrong"),
    "noise on the channel": ("__builtins__['open'](4, 'wb', closefd=False).write(b'\\xff' * 64)", "wrong"),
    "an object": ("return object()", "wrong"),
    "other numbers": ("return np.asarray(x, dtype=complex) * np.inf", "wrong"),
    "nothing, and huge": ("return np.empty((0, 2**40))", "wrong"),
    "a number of 400 digits": ("return 10**400", "wrong"),
    "text without end": ("raise ValueError('x' * 10**7)", "wrong"),
    "a string": ("return 'right'", "wrong"),
    "a ragged list": ("return [[1.0], [2.0, 3.0]]", "wrong"),
    "NaN": ("return np.full_like(x, np.nan)", "wrong"),
    "an import of torch": ("import torch", "wrong"),
    "an import of ours": ("import minitorch_cv", "wrong"),
    "ours by the back door": ("__builtins__['__import__'].__closure__[1].cell_contents('minitorch_cv')", "wrong"),
    "the process killed": ("np.ctypeslib.ctypes.CDLL(None).kill(0, 9)", "ended"),
    "recursion": ("f = lambda: f(); f()", "wrong"),
}


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_code_loses_its_own_points_alone(what, course, sandbox):
    body, expected = HOSTILE[what]
    exercise = EXERCISES[0]
    code = exercise.stub.replace('raise NotImplementedError("yours to write")', body)
    assert code != exercise.stub
    read = Course.read(course)
    result = grade_exercise(read, exercise, code.encode(), sandbox, 3)
    assert (result.status, result.score) == (expected, 0), result
    after = grade_exercise(read, EXERCISES[1], SOLUTIONS["receptive_field.py"], sandbox, 3)
    assert after.status == "full"


def test_a_poisoned_reference_shows_that_the_student_s_module_is_what_ran(course, sandbox, monkeypatch):
    read = Course.read(course)
    exercise = read.exercises[0]
    monkeypatch.setattr(exercise.reference, "max_pool2d_backward", lambda dy, x, size, stride: np.zeros_like(x))
    judge_module._cases.cache_clear()
    assert grade_exercise(read, exercise, SOLUTIONS[exercise.file], sandbox, 0).status != "full"
    judge_module._cases.cache_clear()


def test_grading_again_changes_nothing_and_grades_nothing(course, sandbox, tmp_path):
    handins = tmp_path / "handins"
    (handins / "ada" / "deep").mkdir(parents=True)
    (handins / "ada" / "deep" / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    with zipfile.ZipFile(handins / "bob.zip", "w") as archive:
        archive.writestr("../max_pool2d_backward.py", SOLUTIONS["max_pool2d_backward.py"])
        archive.writestr("numpy.py", "raise SystemExit")
        archive.writestr("work/receptive_field.py", SOLUTIONS["receptive_field.py"])
    paths = sorted(handins.iterdir())
    first = {one.result.student: one for one in grade(course, paths, tmp_path / "out", 2, sandbox)}
    assert {name: one.result.score for name, one in first.items()} == {"ada": 2, "bob": 2}
    assert all(one.fresh for one in first.values())
    texts = {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    again = list(grade(course, paths, tmp_path / "out", 2, sandbox))
    assert not any(one.fresh for one in again)
    anew = list(grade(course, paths, tmp_path / "out", 1, sandbox, again=True))
    assert all(one.fresh for one in anew)
    assert {path.name: path.read_bytes() for path in (tmp_path / "out").iterdir()} == texts
    assert all(result_to_json(load_result(one.path)) == result_to_json(one.result) for one in anew)


def test_two_hand_ins_of_one_name_are_refused(course, sandbox, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "ada").mkdir(parents=True)
    with pytest.raises(ValueError, match="have the same name"):
        list(grade(course, [tmp_path / "a" / "ada", tmp_path / "b" / "ada"], tmp_path / "out", 1, sandbox))


def test_a_changed_exercise_is_refused(tmp_path):
    _, teacher = release(tmp_path, EXERCISES[:2], "changed")
    path = teacher / "exercises" / "receptive_field.py"
    path.write_text(path.read_text(encoding="utf-8") + "\n", encoding="utf-8")
    with pytest.raises(CourseError, match=r"receptive_field\.py has been changed since it was handed out"):
        Course.read(teacher)
    with pytest.raises(CourseError, match="is there already"):
        release(tmp_path, EXERCISES[:2], "changed")


def test_the_hand_out_holds_no_solution_and_no_seed(tmp_path):
    student, teacher = release(tmp_path, EXERCISES, "tests", seed=123456789)
    for path in student.rglob("*"):
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            assert "123456789" not in text
            assert "begin solution" not in text and "mistakes" not in text and "def draw" not in text
            assert not any(exercise.solution in text for exercise in EXERCISES)
    assert os.stat(teacher).st_mode & 0o077 == 0


def test_the_command_writes_a_report_a_gradebook_and_other_formats(course, sandbox, tmp_path, capsys):
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    arguments = ["course", "grade", str(tmp_path / "ada"), "--course", str(course), "--results", str(tmp_path / "out")]
    arguments += ["--format", "gradescope", "prairielearn", "junit"]
    assert main(arguments) == 0
    out = tmp_path / "out"
    written = {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}
    assert set(written) == {
        "ada.json",
        "gradescope/ada.json",
        "prairielearn/ada.json",
        "junit/ada.xml",
        "report.html",
        "gradebook.csv",
    }
    assert "ada: 2 of 16" in capsys.readouterr().out
    assert json.loads(written["gradescope/ada.json"])["tests"]
    assert main(arguments) == 0
    for name in ("ada.json", "report.html", "gradebook.csv"):
        assert (tmp_path / "out" / name).read_bytes() == written[name]
    assert main([*arguments[:2], str(tmp_path / "nobody"), *arguments[3:]]) == 2
    assert "there is no" in capsys.readouterr().err


def test_gradescope_s_autograder_runs(sandbox, tmp_path):
    """Its script, in a folder that stands for /autograder, with this machine's sandbox in place of the container's."""
    _, teacher = release(tmp_path, EXERCISES[1:2], "tests")
    write_autograder(tmp_path / "autograder.zip", teacher, "minitorch-cv")
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        assert {"setup.sh", "run_autograder", "teacher/course.json", "teacher/exercises/receptive_field.py"} == set(
            archive.namelist()
        )
        assert all(archive.getinfo(name).external_attr >> 16 & 0o111 for name in ("setup.sh", "run_autograder"))
        archive.extractall(tmp_path / "source")
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    (tmp_path / "results").mkdir()
    for script in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", tmp_path / "source" / script], check=True)
    command = tmp_path / "minitorch-cv"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m minitorch_cv "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {**os.environ, "AUTOGRADER": str(tmp_path), "SANDBOX": "bubblewrap", "MINITORCH_CV": str(command)}
    subprocess.run(["bash", tmp_path / "source" / "run_autograder"], check=True, env=environment, capture_output=True)
    result = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert sum(test["score"] for test in result["tests"]) == 2


@pytest.mark.parametrize("name, needs_compiler", [("receptive_field", False), ("mend_mask", True)])
def test_gradescope_s_container_gets_what_the_course_needs(name, needs_compiler, tmp_path):
    _, teacher = release(tmp_path, [find_exercise(name)], "tests")
    write_autograder(tmp_path / "autograder.zip", teacher, "minitorch-cv")
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        setup = archive.read("setup.sh").decode()
    assert ("g++ binutils" in setup) == ("simulator_packages" in setup) == needs_compiler


@pytest.mark.parametrize("name", ["receptive_field", "mend_mask"])
def test_gradescope_s_container_opens_what_runs_students_code_and_no_more(name, tmp_path):
    """The lines of setup.sh that close and open, for a copy of the package; whoever reads it then is not its owner."""
    package = tmp_path / "installed" / "minitorch_cv"
    folder = Path(minitorch_cv.__file__).parent
    shutil.copytree(folder, package, ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(Path(signatures.__file__).parent, package / "kernels", ignore=shutil.ignore_patterns("__pycache__"))
    _, teacher = release(tmp_path / "course", [find_exercise(name)], "tests")
    write_autograder(tmp_path / "autograder.zip", teacher, "minitorch-cv")
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        archive.extractall(tmp_path / "source")
    python = tmp_path / "python"
    python.write_text(f'#!/bin/sh\nPYTHONPATH={package.parent} exec {sys.executable} -B "$@"\n', encoding="utf-8")
    python.chmod(0o755)
    setup = (tmp_path / "source" / "setup.sh").read_text(encoding="utf-8")
    closing = setup[setup.index("chmod 700") :].replace("/opt/minitorch_cv/bin/python", str(python))
    environment = {**os.environ, "AUTOGRADER": str(tmp_path)}
    subprocess.run(["bash", "-euo", "pipefail", "-c", closing], check=True, env=environment, cwd=tmp_path)
    assert (tmp_path / "source").stat().st_mode & 0o077 == 0
    readable = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*")
        if path.is_file() and path.stat().st_mode & 0o004
        if all(folder.stat().st_mode & 0o001 for folder in _folders(path, package))
    }
    runs = ("course/runner/", "course/sandbox/")
    simulates = (
        "_device.py",
        "_simulated_array.py",
        "kernels/__init__.py",
        "kernels/cache.py",
        "kernels/signatures.py",
    )
    if name == "mend_mask":
        assert {*simulates, "kernels/simulator/cuda.h"} <= readable
        runs += (*simulates, "kernels/simulator/")
    assert {"course/runner/__main__.py", "course/sandbox/confine.py"} <= readable
    assert [path for path in readable if not path.startswith(runs)] == []


def _folders(path, top):
    """Those that lead from `top` to a file."""
    return [folder for folder in path.parents if folder.is_relative_to(top)]


TESTS_OF_LINEAR = {
    "arrays": ("return np.array([True, False])", 0),
    "nothing": ("return None", 0),
    "always wrong": ("return False", 0),
    "calls without end": ("while True: forward(np.ones((1, 1)), np.ones((1, 1)), np.ones(1))", 0),
    "calls with large arrays": (
        "try: forward(np.ones((12000, 1)), np.ones((12000, 1)), np.ones(12000))\n"
        "    except ValueError: pass\n    return True",
        0,
    ),
    "calls with anything": (
        "for x in ('a', None, [1], {}, 10**400, np.ones((1,) * 30)):\n"
        "        try: forward(x, x, x)\n        except ValueError: pass\n    return True",
        0,
    ),
    "what came before": (
        "seen = globals().setdefault('seen', [])\n"
        "    y = backward(np.ones((1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.ones(1))[1].tobytes()\n"
        "    seen.append(y)\n    return y == seen[0]",
        0,
    ),
}


@pytest.mark.parametrize("what", TESTS_OF_LINEAR)
def test_a_test_that_tests_nothing_finds_nothing(what, course, sandbox):
    body, points = TESTS_OF_LINEAR[what]
    exercise = EXERCISES[2]
    code = exercise.stub.replace('raise NotImplementedError("yours to write")', body)
    judgement = judge_module.judge(exercise, code, sandbox, 11, LIMITS._replace(seconds=2), 5)
    assert judgement.score == points, judgement.cases


def test_a_test_may_raise_assertion_errors(course, sandbox):
    exercise = EXERCISES[2]
    code = exercise.solution.replace("return False", "raise AssertionError").replace("return True", "return")
    assert judge_module.judge(exercise, code, sandbox, 11).is_full


def test_what_a_student_says_is_cut_and_readable(course, sandbox):
    exercise = EXERCISES[0]
    body = "raise type('X' * 10**6, (Exception,), {})(chr(27) + str(object()) + 'y' * 10**6)"
    code = exercise.stub.replace('raise NotImplementedError("yours to write")', body)
    judgement = judge_module.judge(exercise, code, sandbox, 11)
    assert judgement.score == 0
    assert all(len(case.verdict.message) < 2100 and chr(27) not in case.verdict.message for case in judgement.cases)


def test_an_answer_that_breaks_its_judging_is_worth_nothing(course, sandbox, monkeypatch):
    def broken(self, answer, student):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr("minitorch_cv.course.checks._ValueCase.judge", broken)
    judgement = judge_module.judge(EXERCISES[1], EXERCISES[1].solution, sandbox, 11)
    assert judgement.score == 0
    assert judgement.cases[0].verdict.message == "the answer could not be judged"
    assert "RuntimeError: unforeseen" in judgement.cases[0].verdict.detail


def test_names_that_file_systems_do_not_like(course, sandbox, tmp_path):
    names = ["ada.gradescope", "ada", "A d a", "ä" * 80, "x.y", "-", "report", "gradebook"]
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
    graded = list(grade(course, sorted((tmp_path / "in").iterdir()), tmp_path / "out", 1, sandbox))
    assert sorted(one.result.student for one in graded) == sorted(names)
    assert len({one.path.name.casefold() for one in graded}) == len(names)
    (tmp_path / "ADA").mkdir()
    with pytest.raises(ValueError, match="have the same name"):
        list(grade(course, [tmp_path / "in" / "ada", tmp_path / "ADA"], tmp_path / "out", 1, sandbox))


@pytest.mark.slow
def test_a_run_that_is_killed_goes_on(course, sandbox, tmp_path):
    handins = tmp_path / "handins"
    for number in range(12):
        (handins / f"student{number}").mkdir(parents=True)
        (handins / f"student{number}" / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    out = tmp_path / "out"
    command = [sys.executable, "-m", "minitorch_cv", "course", "grade", *map(str, sorted(handins.iterdir()))]
    command += ["--course", str(course), "--results", str(out), "--jobs", "2"]
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    while len(list(out.glob("student*.json"))) < 3:
        assert run.poll() is None
        time.sleep(0.05)
    run.send_signal(signal.SIGKILL)
    run.wait()
    kept = {path.name: path.stat().st_mtime_ns for path in out.glob("student*.json")}
    assert 3 <= len(kept) < 12
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.count("as before") == len(kept)
    assert len(list(out.glob("student*.json"))) == 12
    assert {name: (out / name).stat().st_mtime_ns for name in kept} == kept


def test_limits_of_grading_are_those_that_are_stated():
    assert LIMITS.seconds == 10 and LIMITS.processor_seconds == 30
