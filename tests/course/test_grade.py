"""Grading: what a hand-in is worth, whatever else it does, and grading on from where it was stopped."""

import json
import os
import re
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
from self_proof import HOSTILE, with_bodies

import minitorch_cv
from minitorch_cv.cli import main
from minitorch_cv.course import grade as grade_module
from minitorch_cv.course import judge as judge_module
from minitorch_cv.course.class_files import PUBLISHED, _similar
from minitorch_cv.course.exercise import all_exercises, find_exercise
from minitorch_cv.course.grade import ENDED_TWICE, LIMITS, grade, grade_exercise, grade_handin, minutes_for
from minitorch_cv.course.gradescope_autograder import write_autograder
from minitorch_cv.course.handin import Handin
from minitorch_cv.course.handout import CourseError, script
from minitorch_cv.course.judge import NotStarted
from minitorch_cv.course.release import Course, release
from minitorch_cv.course.results import digest, load_result, result_to_json
from minitorch_cv.course.runner.message import pack
from minitorch_cv.course.sandbox import Sandbox, Unavailable

NAMES = ("max_pool2d_backward", "receptive_field", "find_faults_linear", "batch_norm_line_by_line")
EXERCISES = [find_exercise(name) for name in NAMES]
ENDING = {"an endless loop", "1 GB printed", "the process killed"}
"""Of `HOSTILE`: what ends the process. The rest fails in it."""
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


@pytest.fixture
def wheel(tmp_path):
    """What passes for this package's wheel."""
    path = tmp_path / "minitorch_cv-0.1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("minitorch_cv/__init__.py", "")
    return path


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


@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_code_loses_its_own_points_alone(what, course, sandbox):
    exercise = EXERCISES[0]
    code = with_bodies(exercise.stub, HOSTILE[what])
    read = Course.read(course)
    result = grade_exercise(read, exercise, code.encode(), sandbox, 3)
    assert (result.status, result.score) == ("ended" if what in ENDING else "wrong", 0), result
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


def kill_the_worker_of(monkeypatch, folder, *students):
    """Grading one of these students ends its process by SIGKILL: site code, so that spawned workers have it too."""
    (folder / "site").mkdir()
    (folder / "site" / "sitecustomize.py").write_text(
        "import os, signal, sys\n"
        "if 'spawn_main' in ' '.join(sys.orig_argv):\n"
        "    import minitorch_cv.course.grade as grade\n"
        "    read = grade.read_handin\n"
        "    def killing(path, wanted):\n"
        f"        if path.name in {students}:\n"
        "            os.kill(os.getpid(), signal.SIGKILL)\n"
        "        return read(path, wanted)\n"
        "    grade.read_handin = killing\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(folder / "site"))


def test_a_worker_that_is_killed_costs_its_own_hand_in_alone(course, sandbox, tmp_path, monkeypatch):
    names = ["ada", "bob", "killer", "zoe"]
    for name in names:
        (tmp_path / "in" / name).mkdir(parents=True)
        (tmp_path / "in" / name / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    paths = [tmp_path / "in" / name for name in names]
    with monkeypatch.context() as patch:
        kill_the_worker_of(patch, tmp_path, "killer")
        graded = {one.result.student: one.result for one in grade(course, paths, tmp_path / "out", 2, sandbox)}
        assert {name: result.score for name, result in graded.items()} == {"ada": 2, "bob": 2, "killer": 0, "zoe": 2}
        assert set(status_of(graded["killer"]).values()) == {"ended"}
        assert graded["killer"].problems == (ENDED_TWICE,)
        assert graded["killer"].exercises[0].teacher_message == ENDED_TWICE
        assert not any(one.fresh for one in grade(course, paths[:2], tmp_path / "out", 1, sandbox))
    anew = list(grade(course, paths[2:3], tmp_path / "out", 1, sandbox, again=True))
    assert anew[0].result.score == 2


def test_workers_that_end_at_their_start_are_nobody_s_fault(course, sandbox, tmp_path, monkeypatch):
    (tmp_path / "ada").mkdir()
    (tmp_path / "site").mkdir()
    ending = "import os, sys\nif 'spawn_main' in ' '.join(sys.orig_argv): os._exit(1)\n"
    (tmp_path / "site" / "sitecustomize.py").write_text(ending, encoding="utf-8")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    with pytest.raises(NotStarted, match="ended at its start"):
        list(grade(course, [tmp_path / "ada"], tmp_path / "out", 1, sandbox))
    assert not list((tmp_path / "out").iterdir())


def test_two_hand_ins_of_one_name_are_refused(course, sandbox, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder / "ada").mkdir(parents=True)
    with pytest.raises(ValueError, match="have the same name"):
        list(grade(course, [tmp_path / "a" / "ada", tmp_path / "b" / "ada"], tmp_path / "out", 1, sandbox))


def test_a_changed_exercise_is_refused(tmp_path):
    _, teacher = release(tmp_path, EXERCISES[:2], "changed")
    path = teacher / "exercises" / "receptive_field.py"
    text = path.read_bytes()
    for changed in (text + b"\n", b"import nothing_there\n" + text, b"\xff"):  # what changed is not even run
        path.write_bytes(changed)
        with pytest.raises(CourseError, match=r"receptive_field\.py has been changed since it was handed out"):
            Course.read(teacher)
    path.unlink()
    with pytest.raises(CourseError, match=r"receptive_field\.py is missing"):
        Course.read(teacher)
    path.write_bytes(text)
    (path.parent / "zz.py").write_text("import nothing_there", encoding="utf-8")  # nor is what nobody handed out
    assert [exercise.name for exercise in Course.read(teacher).exercises] == list(NAMES[:2])
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
    for more in ([], ["--again"]):
        assert main([*arguments, *more]) == 0
        assert {name: digest((out / name).read_bytes()) for name in written} == {
            name: digest(data) for name, data in written.items()
        }
    with pytest.raises(SystemExit):
        main([*arguments, "--minutes", "0"])
    assert "argument --minutes: expects a finite positive number; it is '0'" in capsys.readouterr().err
    assert main([*arguments[:2], str(tmp_path / "nobody"), *arguments[3:]]) == 2
    assert "there is no" in capsys.readouterr().err


def test_a_release_has_each_exercise_once_and_lessons_or_exercises(tmp_path, capsys):
    arguments = ["course", "release", str(tmp_path / "a"), "--exercises", "receptive_field", "receptive_field.py"]
    assert main(arguments) == 0
    assert "1 exercises to hand out, 2 points" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        main([*arguments, "--lessons", "vgg"])
    assert "argument --lessons: not allowed with argument --exercises" in capsys.readouterr().err


def test_solutions_are_given_where_the_release_allows_them(tmp_path, capsys):
    for name, more in (("without", []), ("with", ["--solutions"])):
        assert main(["course", "release", str(tmp_path / name), "--exercises", "receptive_field", *more]) == 0
        assert ("course solution" in (tmp_path / name / "student" / "README.md").read_text(encoding="utf-8")) == bool(
            more
        )
        code = main(["course", "solution", "receptive_field", "--folder", str(tmp_path / name / "student")])
        assert code == (0 if more else 2)
        said = capsys.readouterr()
        assert ("def receptive_field" in said.out) == bool(more)
        assert ("was released without solutions; ask your teacher" in said.err) != bool(more)


def test_copies_of_the_published_solution_are_named(course, tmp_path):
    """Those alone: not the honest one, nor, in an exercise of few lines, those who wrote just these."""
    exercise = EXERCISES[0]
    honest = exercise.solution.replace(
        "winner = window.reshape(N, C, -1).argmax(axis=2)",
        "flat = np.stack([window[:, :, i, j] for i in range(size) for j in range(size)], axis=-1)\n"
        "            for best in [flat.max(axis=-1)]:\n"
        "                first = np.cumsum(flat == best[..., None], axis=-1) == 1\n"
        "            winner = (first & (flat == best[..., None])).nonzero()[-1].reshape(N, C)",
    )
    renamed = re.sub(r"\bdx\b", "gradient", re.sub(r"\bwindow\b", "patch", exercise.solution))
    for student, text in {"copy": exercise.solution, "renamed": renamed, "honest": honest}.items():
        (tmp_path / student).mkdir()
        code = script(exercise, text)
        (tmp_path / student / exercise.file).write_text(code, encoding="utf-8")
        (tmp_path / student / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    for name in ("copy", "renamed"):
        pairs = _similar(Course.read(course), [tmp_path / name, tmp_path / "honest"])
        assert [(pair.exercise, pair.students) for pair in pairs] == [(exercise.name, (name, PUBLISHED))]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (
            ["--gradescope"],
            "--gradescope and --package WHEEL belong together; a wheel is made by: pip wheel --no-deps .",
        ),
        (["--package", "minitorch_cv-1-py3-none-any.whl"], "--gradescope and --package WHEEL belong together"),
        (
            ["--gradescope", "--package", "minitorch_cv-1-nowhere.whl"],
            "it is minitorch_cv-1-nowhere.whl. One is made by",
        ),
        (
            ["--gradescope", "--package", "minitorch-cv"],
            "--package expects a wheel of minitorch-cv; it is minitorch-cv.",
        ),
    ],
)
def test_an_autograder_without_a_wheel_is_refused_before_anything_is_written(tmp_path, capsys, arguments, told):
    assert main(["course", "release", str(tmp_path / "new"), "--exercises", "receptive_field", *arguments]) == 2
    assert told in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_gradescope_s_autograder_runs(sandbox, tmp_path, wheel):
    """Its script, in a folder that stands for /autograder, with this machine's sandbox in place of the container's."""
    arguments = ["course", "release", str(tmp_path), "--exercises", "receptive_field", "--gradescope"]
    assert main([*arguments, "--package", str(wheel)]) == 0
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        teacher = {"teacher/course.json", "teacher/exercises/receptive_field.py"}
        assert {"setup.sh", "run_autograder", wheel.name, *teacher} == set(archive.namelist())
        assert f'pip install "$(dirname "$0")/{wheel.name}"' in archive.read("setup.sh").decode()
        assert all(archive.getinfo(name).external_attr >> 16 & 0o111 for name in ("setup.sh", "run_autograder"))
        archive.extractall(tmp_path / "source")
    (tmp_path / "submission").mkdir()
    (tmp_path / "submission" / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    (tmp_path / "results").mkdir()
    for name in ("setup.sh", "run_autograder"):
        subprocess.run(["bash", "-n", tmp_path / "source" / name], check=True)
    command = tmp_path / "minitorch-cv"
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m minitorch_cv "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    environment = {**os.environ, "AUTOGRADER": str(tmp_path), "SANDBOX": "bubblewrap", "MINITORCH_CV": str(command)}
    subprocess.run(["bash", tmp_path / "source" / "run_autograder"], check=True, env=environment, capture_output=True)
    result = json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))
    assert sum(test["score"] for test in result["tests"]) == 2


@pytest.mark.parametrize("name, needs_compiler", [("receptive_field", False), ("mend_mask", True)])
def test_gradescope_s_container_gets_what_the_course_needs(name, needs_compiler, tmp_path, wheel):
    _, teacher = release(tmp_path, [find_exercise(name)], "tests")
    write_autograder(tmp_path / "autograder.zip", teacher, wheel)
    with zipfile.ZipFile(tmp_path / "autograder.zip") as archive:
        setup = archive.read("setup.sh").decode()
    assert ("g++ binutils" in setup) == ("simulator_packages" in setup) == needs_compiler


@pytest.mark.parametrize("name", ["receptive_field", "mend_mask"])
def test_gradescope_s_container_opens_what_runs_students_code_and_no_more(name, tmp_path, wheel):
    """The lines of setup.sh that close and open, for a copy of the package; whoever reads it then is not its owner."""
    package = tmp_path / "installed" / "minitorch_cv"
    folder = Path(minitorch_cv.__file__).parent
    shutil.copytree(folder, package, ignore=shutil.ignore_patterns("__pycache__"))
    kernels = Path(signatures.__file__).parent  # in a checkout it lies elsewhere
    shutil.copytree(kernels, package / "kernels", ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    _, teacher = release(tmp_path / "course", [find_exercise(name)], "tests")
    write_autograder(tmp_path / "autograder.zip", teacher, wheel)
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


def test_what_comes_after_a_hand_in_s_time_is_not_run(course, sandbox, monkeypatch):
    monkeypatch.setattr(grade_module, "LIMITS", LIMITS._replace(seconds=4.0))
    endless = EXERCISES[0].stub.replace('raise NotImplementedError("yours to write")', "while True: pass")
    files = {**SOLUTIONS, EXERCISES[0].file: endless.encode()}
    read = Course.read(course)
    result = grade_handin(read, Handin("slow", files, []), sandbox, 0, minutes=1 / 60)
    assert status_of(result) == dict.fromkeys(NAMES, "ended") and result.score == 0
    last = result.exercises[-1]
    assert {case.message for case in last.cases} == {"not run: the time for the whole hand-in is over"}
    assert last.teacher_message == "Not all cases were run: the time for the whole hand-in is over."


def test_a_result_of_another_time_is_graded_anew(course, sandbox, tmp_path):
    (tmp_path / "ada").mkdir()

    def is_fresh(**options):
        return [one.fresh for one in grade(course, [tmp_path / "ada"], tmp_path / "out", 1, sandbox, **options)] == [
            True
        ]

    default = minutes_for(Course.read(course))
    assert default == 10
    assert [is_fresh(), is_fresh(minutes=default), is_fresh(minutes=3), is_fresh(minutes=3)] == [
        True,
        False,
        True,
        False,
    ]


def test_a_machine_s_fault_is_no_result(course, sandbox, tmp_path, monkeypatch, capsys):
    """Site code, so that spawned workers have it too."""
    (tmp_path / "ada").mkdir()
    (tmp_path / "ada" / "receptive_field.py").write_bytes(SOLUTIONS["receptive_field.py"])
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import sys\n"
        "if 'spawn_main' in ' '.join(sys.orig_argv):\n"
        "    from minitorch_cv.course.sandbox import Sandbox\n"
        "    def start(*arguments, **options): raise OSError(12, 'Cannot allocate memory')\n"
        "    Sandbox.start = start\n",
        encoding="utf-8",
    )
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "site"))
    out = tmp_path / "out"
    assert main(["course", "grade", str(tmp_path / "ada"), "--course", str(course), "--results", str(out)]) == 2
    assert "ada: receptive_field: no process can be started: [Errno 12]" in capsys.readouterr().err
    assert not list(out.iterdir())


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


def test_an_answer_that_no_honest_one_is_as_long_as_ends_the_process(course, sandbox):
    exercise = EXERCISES[0]
    code = exercise.stub.replace('raise NotImplementedError("yours to write")', "return np.ones(5 * 2**20)")
    result = grade_exercise(Course.read(course), exercise, code.encode(), sandbox, 0)
    assert (result.status, result.score) == ("ended", 0) and "32 MiB" in result.teacher_message


def test_no_right_answer_comes_near_to_the_limit_of_an_answer():
    for exercise in all_exercises():
        if exercise.language.name == "python":
            for check in exercise.checks:
                for case in check.cases(exercise.reference, np.random.default_rng(0)):
                    assert 16 * len(pack(case.ask(exercise.reference))) < LIMITS.answer, exercise.name


def test_a_kernel_has_a_minute_of_its_own():
    mended = [exercise for exercise in all_exercises() if exercise.name.startswith("mend_")]
    assert minutes_for(Course("kernels", 1, mended)) == 10 + len(mended)


def test_limits_of_grading_are_those_that_are_stated():
    assert LIMITS.seconds == 10 and LIMITS.processor_seconds == 30
