"""The command: files and operations are told apart, exit codes are those of the checks, misuse is said."""

import argparse
import sys
import types
from pathlib import Path

import pytest

from minitorch_cv.checks import command

STUDENTS = Path(__file__).with_name("students")


def run(*arguments):
    parser = argparse.ArgumentParser(prog="minitorch-cv gradcheck")
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(argument) for argument in arguments]))


@pytest.mark.parametrize(
    ("names", "code"),
    [
        (["right_linear.py"], 0),
        (["wrong_conv_mean.py"], 1),
        (["raises.py"], 2),
        (["right_linear.py", "raises.py"], 2),
        (["raises.py", "wrong_conv_mean.py", "right_linear.py"], 1),
    ],
)
def test_exit_codes(names, code):
    assert run(*(STUDENTS / name for name in names)) == code


def test_report_goes_to_standard_output_and_what_failed_to_standard_error(capsys):
    run(STUDENTS / "wrong_conv_mean.py")
    printed = capsys.readouterr()
    assert "WRONG in 1 of 1 case" in printed.out and printed.err == ""
    run(STUDENTS / "raises.py")
    printed = capsys.readouterr()
    assert "raises.py, line 9" in printed.err and printed.out == ""


def test_shapes_timeout_and_seed_reach_the_check(capsys):
    assert run(STUDENTS / "no_cases.py", "--shapes", "1,2,4,3", "3,2,2,2", "--seed", "5") == 0
    assert "(1, 2, 4, 3), (3, 2, 2, 2): right, 48 entries to within" in capsys.readouterr().out
    assert run(STUDENTS / "endless_loop.py", "--timeout", "0.5") == 2
    assert "still running after 0.5 s" in capsys.readouterr().err


@pytest.fixture
def suite(monkeypatch):
    """A stand-in for the check of the package's operations that notes how it is called."""
    calls = []

    def run(names, faults, mutate):
        calls.append((names, faults, mutate))
        return 1

    import minitorch_cv.checks

    module = types.SimpleNamespace(run=run)
    monkeypatch.setitem(sys.modules, "minitorch_cv.checks.suite", module)
    monkeypatch.setattr(minitorch_cv.checks, "suite", module, raising=False)
    return calls


@pytest.mark.parametrize(
    ("arguments", "call"),
    [
        ([], ([], False, False)),
        (["conv2d", "batch_norm", "--faults"], (["conv2d", "batch_norm"], True, False)),
        (["--mutate"], ([], False, True)),
    ],
)
def test_anything_but_a_file_goes_to_the_packages_own_checks(suite, arguments, call):
    assert run(*arguments) == 1
    assert suite == [call]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["conv2d", "mine.py"], "expects files or operations, not both; mine.py is a file, conv2d is none"),
        (["conv2d", "--shapes", "2,3"], "--shapes expects a file of yours"),
        (["--plot", "error.png"], "--plot expects a file of yours"),
        (["mine.py", "--faults"], "--faults is for the package's operations; mine.py is a file"),
        (["mine.py", "--mutate"], "--mutate is for the package's operations"),
        (["mine.py", "yours.py", "--plot", "error.png"], "--plot expects one file; 2 were given"),
        (
            [STUDENTS / "right_linear.py", "--plot", "p2.jpg"],
            "--plot expects a name ending in .png, .pdf or .svg; it is p",
        ),
        (
            [STUDENTS / "right_linear.py", "--plot", "no/p.png"],
            "--plot expects a file in a folder that exists; no does",
        ),
        (["nowhere.py"], "nowhere.py: there is no such file"),
    ],
)
def test_misuse_is_said_with_exit_code_2(suite, capsys, arguments, message):
    assert run(*arguments) == 2
    printed = capsys.readouterr()
    assert message in printed.err and not printed.out and not suite
    assert "check_file" not in printed.err


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("conv", "did you mean conv2d"),
        ("Conv2D", "did you mean conv2d"),
        ("batchnorm", "did you mean batch_norm"),
        ("sofmax", "did you mean softmax"),
        ("norm", "group_norm"),
    ],
)
def test_near_names_are_suggested_for_an_unknown_operation(capsys, name, message):
    assert run(name) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"gradcheck: there is no operation {name!r}") and message in told and len(told) < 160


def test_without_a_near_name_all_are_listed(capsys):
    assert run("qqqqqq") == 2
    assert "conv2d, " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["mine.py", "--shapes", "2,x"], "a shape is positive integers with commas, as in 2,3,8,8; it is '2,x'"),
        (["mine.py", "--shapes", "2,0"], "a shape is positive integers"),
        (["mine.py", "--timeout", "-1"], "a time limit is a positive number of seconds; it is '-1'"),
        (["mine.py", "--timeout", "soon"], "it is 'soon'"),
    ],
)
def test_arguments_that_cannot_be_read(capsys, arguments, message):
    with pytest.raises(SystemExit) as error:
        run(*arguments)
    assert error.value.code == 2 and message in capsys.readouterr().err


def test_help_teaches(capsys):
    with pytest.raises(SystemExit):
        run("--help")
    printed = capsys.readouterr().out
    assert "def backward(dy, x, weight):" in printed and "exit codes: 0 right, 1 wrong" in printed


def test_example_in_the_help_is_right(tmp_path):
    lines = command.DESCRIPTION.splitlines()
    path = tmp_path / "mine.py"
    path.write_text("\n".join(line[4:] for line in lines if not line or line.startswith("    ")), encoding="utf-8")
    assert run(path) == 0
