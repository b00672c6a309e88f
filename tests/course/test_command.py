"""The student's commands: a folder, checks with their messages and hints, solutions, what is done."""

import json
import re

import pytest

from minitorch_cv.cli import main
from minitorch_cv.course.exercise import all_exercises, find_exercise
from minitorch_cv.course.plain_mathematics import plain_mathematics

NAME = "batch_norm_line_by_line"
EXERCISE = find_exercise(NAME)


@pytest.fixture
def folder(tmp_path, monkeypatch, capsys):
    assert main(["course", "new", str(tmp_path / "mine"), "--lessons", "resnet"]) == 0
    monkeypatch.chdir(tmp_path / "mine")
    capsys.readouterr()
    return tmp_path / "mine"


def write(folder, code):
    (folder / "04_resnet" / f"{NAME}.py").write_text(code, encoding="utf-8")


def check(capsys, *arguments):
    code = main(["course", "check", *arguments])
    captured = capsys.readouterr()
    return code, captured.out + captured.err


def test_a_new_folder_has_the_exercises_of_its_lessons_and_no_solution(folder):
    of_the_lesson = {exercise.name for exercise in all_exercises() if exercise.about.lesson == "04_resnet"}
    assert {path.stem for path in (folder / "04_resnet").iterdir()} == of_the_lesson
    assert set(json.loads((folder / "course.json").read_text(encoding="utf-8"))["exercises"]) == of_the_lesson
    assert "begin solution" not in (folder / "04_resnet" / f"{NAME}.py").read_text(encoding="utf-8")


def test_nothing_is_begun(folder, capsys):
    assert check(capsys) == (0, "Nothing is begun yet. What there is to do: minitorch-cv course status\n")
    assert "not written yet" in check(capsys, NAME)[1]
    assert main(["course", "status"]) == 0
    assert "0 of " in capsys.readouterr().out


def test_three_wrong_attempts_and_a_right_one(folder, capsys):
    hints = []
    for number, mistake in enumerate(EXERCISE.mistakes[:3], 1):
        write(folder, EXERCISE.with_mistake(mistake))
        code, said = check(capsys)
        assert code == 1
        assert "The first wrong line is d" in said and plain_mathematics(mistake.hint) in said
        assert json.loads((folder / "progress.json").read_text(encoding="utf-8"))[NAME]["attempts"] == number
        hints.append(json.loads((folder / "progress.json").read_text(encoding="utf-8"))[NAME]["hints"])
    assert hints == [0, 1, 2]
    assert check(capsys)[0] == 1  # the same again is no new attempt
    assert json.loads((folder / "progress.json").read_text(encoding="utf-8"))[NAME]["attempts"] == 3
    write(folder, EXERCISE.solution)
    code, said = check(capsys)
    assert code == 0 and "6 of 6 points: all is right." in said
    main(["course", "solution", NAME])  # to compare with: it was right before
    capsys.readouterr()
    main(["course", "status"])
    said = capsys.readouterr().out
    assert "1 of 9 exercises, 6 of 33 points." in said and "solution" not in said


def test_hints_by_stages_for_a_mistake_that_nobody_foresaw(folder, capsys):
    for number in range(3):
        write(folder, EXERCISE.solution.replace("dbeta = dy.sum(axis=0)", f"dbeta = dy.sum(axis=0) + {number + 1}"))
        said = check(capsys)[1]
        assert len(re.findall(r"^  hint \d", said, re.MULTILINE)) == number


def test_a_solution_that_was_looked_at_is_recorded(folder, capsys):
    assert main(["course", "solution", NAME]) == 0
    assert EXERCISE.solution in capsys.readouterr().out
    write(folder, (folder / "solutions" / f"{NAME}.py").read_text(encoding="utf-8"))
    assert check(capsys)[0] == 0
    main(["course", "status"])
    assert "done, after its" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ("while True: pass", "no answer within"),
        ("return {", "the file cannot be run: SyntaxError"),
        ("return None", "backward expects to return a dict"),
        ("return undefined", "it raises NameError: name 'undefined' is not defined (line "),
        ("import torch", "this exercise is to be solved with numpy, math; it imports torch"),
        ("import os; os._exit(3)", "it imports os"),
    ],
)
def test_what_goes_wrong_is_told(folder, capsys, body, told):
    write(folder, EXERCISE.stub.replace('raise NotImplementedError("yours to write")', body))
    code, said = check(capsys, NAME, "--seconds", "4")
    assert code == 1
    assert told.lower() in said.lower()


def test_after_the_last_hint_none_is_promised(folder, capsys):
    for number in range(len(EXERCISE.hints) + 1):
        write(folder, EXERCISE.solution.replace("dbeta = dy.sum(axis=0)", f"dbeta = dy.sum(axis=0) + {number + 1}"))
        said = check(capsys)[1]
        assert (f"earns hint {number + 1} of {len(EXERCISE.hints)}." in said) == (number < len(EXERCISE.hints))
    assert f"These are all hints; a solution: minitorch-cv course solution {NAME}" in said


def test_a_file_that_cannot_be_run_is_no_attempt(folder, capsys):
    write(folder, EXERCISE.stub + "\nanswer = (1,\n")
    code, said = check(capsys)
    line = EXERCISE.stub.count("\n") + 2
    assert code == 1
    assert f"'(' was never closed (line {line})\n    {line} | answer = (1," in said and "WRONG" not in said
    assert "hint" not in said and json.loads((folder / "progress.json").read_text())[NAME]["attempts"] == 0


@pytest.mark.parametrize("options", [[], ["--notebooks"]])
def test_the_readme_leads_to_every_file(options, tmp_path):
    if options:
        pytest.importorskip("jupytext", reason="notebooks need jupytext: pip install -e '.[course]'")
    assert main(["course", "new", str(tmp_path / "mine"), "--lessons", "00_backprop", "08_kernels", *options]) == 0
    places = re.findall(r"\]\((.+?)\)", (tmp_path / "mine" / "README.md").read_text(encoding="utf-8"))
    files = {path.relative_to(tmp_path / "mine").as_posix() for path in (tmp_path / "mine").glob("*/*")}
    assert files and set(places) == files


@pytest.mark.parametrize(
    ("kept", "told"),
    [
        ('{"a": {"attempts": "x"}}', "attempts expects int; it is 'x'"),
        ('{"a": {"attempts": true}}', "attempts expects int; it is True"),
        ('{"a": {"best": null}}', "best expects float; it is None"),
        ('{"a": {"solved": 1}}', "solved expects bool; it is 1"),
        ('{"a": {"last": 3}}', "last expects str; it is 3"),
        ('{"a": {"marks": 3}}', "unexpected keyword argument 'marks'"),
        ('{"a": 3}', "must be a mapping"),
        ("[]", "no attribute 'items'"),
        ("[" * 100_000, "recursion"),
        ("{", "Expecting property name"),
    ],
)
def test_a_record_that_is_none_is_told(folder, capsys, kept, told):
    (folder / "progress.json").write_text(kept, encoding="utf-8")
    code, said = check(capsys, NAME)
    assert code == 2 and told in said and "progress.json cannot be read" in said and "Traceback" not in said
    (folder / "progress.json").write_text('{"a": {"best": 3}}', encoding="utf-8")
    assert main(["course", "status"]) == 0


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_checked(folder, capsys):
    write(folder, EXERCISE.solution)
    unreadable = folder / "04_resnet" / "identity_block.py"
    unreadable.write_bytes(b"\xff\xfe")
    for names in ([], ["identity_block", "nothing", NAME]):
        code, said = check(capsys, *names)
        assert code == 2
        assert f"minitorch-cv course check: {unreadable} cannot be read: 'utf-8' codec can't decode" in said
        assert ("no exercise is called 'nothing'" in said) == bool(names)
        assert "6 of 6 points: all is right." in said


def test_notebooks_are_checked_too(tmp_path, capsys):
    pytest.importorskip("jupytext")
    assert main(["course", "new", str(tmp_path / "mine"), "--lessons", "4", "--notebooks"]) == 0
    path = tmp_path / "mine" / "04_resnet" / f"{NAME}.ipynb"
    notebook = json.loads(path.read_text(encoding="utf-8"))
    code = next(cell for cell in notebook["cells"] if cell["cell_type"] == "code")
    code["source"] = EXERCISE.solution
    path.write_text(json.dumps(notebook), encoding="utf-8")
    assert check(capsys, NAME, "--folder", str(tmp_path / "mine"))[0] == 0


def test_work_is_kept_when_the_folder_is_made_again(folder, capsys):
    write(folder, "# mine\n")
    assert main(["course", "new", str(folder), "--lessons", "resnet", "vgg"]) == 0
    assert "kept as they are" in capsys.readouterr().out
    assert (folder / "04_resnet" / f"{NAME}.py").read_text(encoding="utf-8") == "# mine\n"


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["check", "batch_norm_line"], "no exercise is called 'batch_norm_line'; did you mean batch_norm_line_by_line"),
        (["check", "im2col"], "there is no file of im2col in"),
        (["check", "--folder", "/"], "lies in no course's folder"),
        (["solution", "nope"], "no exercise is called 'nope'; all are listed by: minitorch-cv course status\n"),
        (["new", "other", "--lessons", "nothing"], "it is 'nothing'"),
    ],
)
def test_wrong_arguments_exit_2(folder, capsys, arguments, told):
    assert main(["course", *arguments]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["0", "-1", "nan", "inf", "soon"])
def test_seconds_are_a_finite_positive_number(folder, capsys, seconds):
    with pytest.raises(SystemExit) as exit:
        main(["course", "check", NAME, f"--seconds={seconds}"])
    assert exit.value.code == 2
    assert f"argument --seconds: expects a finite positive number; it is '{seconds}'" in capsys.readouterr().err


def test_hints_can_be_read_in_a_terminal():
    assert plain_mathematics(r"is $-\frac12 v^{-3/2}$, with $\hat x_n$") == "is -1/2 v^(-3/2), with x̂_n"
    for exercise in all_exercises():
        for hint in [*exercise.hints, *(mistake.hint for mistake in exercise.mistakes)]:
            plain = plain_mathematics(hint)
            assert "$" not in plain and "\\" not in plain, plain
