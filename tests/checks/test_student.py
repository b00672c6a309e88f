"""A student's file is checked in a process of its own; whatever it does, one clear message comes back."""

import os
import time
from pathlib import Path

import numpy as np
import pytest

from minitorch_cv.checks.student import check_file

STUDENTS = Path(__file__).with_name("students")


@pytest.mark.parametrize(
    ("name", "cases"),
    [
        ("right_linear", 3),
        ("right_conv", 1),
        ("out_and_cache", 2),
        ("dict_gradients", 1),
        ("integer_labels", 1),
        ("imports_a_neighbour", 3),
    ],
)
def test_right_gradients(name, cases):
    report = check_file(STUDENTS / f"{name}.py")
    assert report and report.exit_code == 0, report
    assert [check["verdict"] for check in report.checks] == ["right"] * cases
    assert str(report).endswith(f"{name}.py: right in {cases} case{'s' if cases > 1 else ''}.")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("wrong_conv_overwritten", "accumulate"),
        ("wrong_conv_mean", "0.5 times the numeric gradient"),
        ("wrong_conv_flipped", "flipped"),
        ("wrong_conv_shape", "the gradient has shape (3, 2, 3, 2); (2, 3, 3, 2) is expected"),
        ("wrong_conv_one_entry", "worst at (1, 2, 0, 1)"),
        ("changes_input", "backward changes its input x in place"),
        ("returns_nan", "returns_nan.py, line 9: ratio = 0.0 * x / (x - x)"),
        ("steps_of_a_derivation", "The first wrong line is dmean."),
    ],
)
def test_wrong_gradients_are_told_what_is_wrong(name, told):
    report = check_file(STUDENTS / f"{name}.py")
    assert not report and report.exit_code == 1, report
    assert told in str(report)
    assert str(report).endswith(f"{name}.py: WRONG in 1 of 1 case.")


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("raises.py", "raises.py, line 9: dx = dy @ weight)"),
        ("syntax_error.txt", "(syntax_error.txt, line 1: def forward(x))"),
        ("no_cases.py", "--shapes 2,3,8,8 4,3,3,3, or add to the file:"),
        ("no_cases.py", "or one case: inputs = (x, weight)"),
        ("misnamed_backward.py", "forward expects a function backward beside it; there is none; is bakward meant"),
        ("ends_the_process.py", "the process ended with exit code 3 before the check was done"),
        ("exits_and_prints.py", 'SystemExit: enough (exits_and_prints.py, line 7: sys.exit("enough"))'),
        ("nowhere.py", "there is no such file"),
    ],
)
def test_what_cannot_be_checked_is_said(name, told):
    report = check_file(STUDENTS / name)
    assert not report and report.exit_code == 2, report
    assert told in str(report)
    assert str(report).endswith(f"{name}: COULD NOT BE CHECKED.")


def test_endless_loop_ends_at_the_time_limit_and_its_line_is_named():
    report = check_file(STUDENTS / "endless_loop.py", timeout=1.0)
    assert report.exit_code == 2 and report.seconds < 20
    assert "endless_loop.py: still running after 1 s (line " in report.message
    assert "while count >= 0" in report.message or "count += 1" in report.message


def test_what_the_file_prints_is_kept():
    assert check_file(STUDENTS / "exits_and_prints.py").printed.strip() == "reading the file"


def test_shapes_take_the_place_of_cases():
    report = check_file(STUDENTS / "no_cases.py", shapes=[(1, 2, 4, 3), (3, 2, 2, 2)])
    assert report.exit_code == 0 and report.checks[0]["inputs"] == "(1, 2, 4, 3), (3, 2, 2, 2)"
    report = check_file(STUDENTS / "no_cases.py", shapes=[(1, 2, 4, 3)])
    assert report.exit_code == 2 and "weight" in str(report)


def test_cases_of_the_caller_reach_the_file_whole():
    rng = np.random.default_rng(0)
    labels = np.array([2, 0, 1, 1])
    report = check_file(STUDENTS / "integer_labels.py", cases=[(rng.standard_normal((4, 3)), labels)])
    assert report.exit_code == 0
    by_name = {"logits": rng.standard_normal((4, 3)).astype(np.float32), "labels": labels}
    assert check_file(STUDENTS / "integer_labels.py", cases=[by_name]).exit_code == 0
    with pytest.raises(TypeError, match="cases expects arrays, numbers, strings"):
        check_file(STUDENTS / "integer_labels.py", cases=[(object(), labels)])


def test_seed_fixes_the_inputs():
    first, second = (check_file(STUDENTS / "wrong_conv_mean.py", seed=3) for _ in range(2))
    assert first.checks == second.checks
    assert first.checks[0]["report"] != check_file(STUDENTS / "wrong_conv_mean.py", seed=4).checks[0]["report"]


def write(folder, text):
    path = folder / "mine.py"
    path.write_text(text, encoding="utf-8")
    return path


FUNCTIONS = "def forward(x):\n    return 2 * x\n\ndef backward(dy, x):\n    return 2 * dy\n\n"


@pytest.mark.parametrize(
    "cases",
    [
        "def cases(rng):\n    return [(rng.standard_normal(3),)]",
        "def cases(rng):\n    return rng.standard_normal(3)",
        "def cases(rng):\n    yield rng.standard_normal(3)",
        "def cases(rng):\n    return {'x': rng.standard_normal(3)}",
        "def cases(rng):\n    yield [rng.standard_normal(3)]",
        "def cases():\n    import numpy as np\n    return np.ones(3),",
        "import numpy as np\ninputs = (np.ones(3),)",
        "import numpy as np\ninputs = [np.ones(3)]",
        "import numpy as np\ninputs = {'x': np.ones(3)}",
        "import numpy as np\ninputs = np.ones(3)",
        "inputs = ()\ndef cases(rng):\n    yield rng.standard_normal(3)",
    ],
)
def test_cases_may_be_yielded_or_returned_in_any_form(tmp_path, cases):
    report = check_file(write(tmp_path, FUNCTIONS + cases))
    assert report.exit_code == 0 and len(report.checks) == 1, report


@pytest.mark.parametrize(
    ("cases", "told"),
    [
        ("def cases(rng):\n    return None", "cases(rng) expects to yield tuples of inputs; it returned None"),
        ("def cases(rng):\n    yield 3", "case 1 is a int"),
        ("def cases(rng):\n    yield from ()", "it yielded none"),
        ("def cases(rng):\n    yield rng.normal(1, 2, 3, 4)", "mine.py, line 8: yield rng.normal(1, 2, 3, 4)"),
    ],
)
def test_mistakes_in_cases_are_told(tmp_path, cases, told):
    report = check_file(write(tmp_path, FUNCTIONS + cases))
    assert report.exit_code == 2 and told in str(report)


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="looks into /proc")
def test_processes_that_the_file_started_end_with_it(tmp_path):
    start = "import subprocess, sys\nchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
    cases = "def cases(rng):\n    print('child', child.pid)\n    yield rng.standard_normal(3)\n"
    report = check_file(write(tmp_path, start + FUNCTIONS + cases))
    child = int(report.printed.split()[-1])
    for _ in range(50):
        status = Path(f"/proc/{child}/stat")
        if not status.exists() or status.read_text().split(")")[-1].split()[0] == "Z":  # dead, if not yet buried
            return
        time.sleep(0.1)
    pytest.fail(f"process {child} lives on")


def test_each_pair_may_have_inputs_of_its_own(tmp_path):
    text = "import numpy as np\n" + FUNCTIONS.replace("forward", "double_forward").replace(
        "backward", "double_backward"
    )
    report = check_file(write(tmp_path, text + FUNCTIONS + "double_inputs = [np.ones(2)]\ninputs = (np.ones(3),)\n"))
    assert [check["inputs"] for check in report.checks] == ["(2,)", "(3,)"] and report


def test_endless_generator_of_cases_is_cut_off(tmp_path):
    cases = "def cases(rng):\n    while True:\n        yield (rng.standard_normal(2),)"
    report = check_file(write(tmp_path, FUNCTIONS + cases))
    assert report.exit_code == 0 and len(report.checks) == 100


def test_one_wrong_pair_among_several(tmp_path):
    text = FUNCTIONS.replace("forward", "double_forward").replace("backward", "double_backward")
    text += "def forward_square(x):\n    return x * x\n\ndef backward_square(dy, x):\n    return dy * x\n\n"
    report = check_file(write(tmp_path, text), shapes=[(4,)])
    assert report.exit_code == 1
    assert [(check["functions"][0], check["verdict"]) for check in report.checks] == [
        ("double_forward", "right"),
        ("forward_square", "wrong"),
    ]


def test_forward_that_names_its_values_is_checked_line_by_line(tmp_path):
    text = "def forward(x, node):\n    square = node('square', x * x)\n    return 3 * square\n\n"
    text += "def backward(dy, x):\n    return {'dsquare': 2 * dy, 'dx': 2 * x * 2 * dy}\n"
    report = check_file(write(tmp_path, text), shapes=[(4,)])
    assert report.exit_code == 1 and "The first wrong line is dsquare." in str(report)
    assert report.checks[0]["report"]["lines"] == {"dsquare": "wrong", "dx": "inherited"}


def test_what_was_compared_and_what_was_not_is_told_of_right_gradients_too(tmp_path):
    text = "import numpy as np\n\ndef forward(x, w):\n    return np.maximum(x, 0) * w\n\n"
    text += "def backward(dy, x, w):\n    return dy * w * (x > 0), None\n\n"
    text += "def cases(rng):\n    x = rng.uniform(1, 2, (3, 4))\n    x[0, 0] = 0\n    yield x, rng.uniform(1, 2, 4)\n"
    report = str(check_file(write(tmp_path, text)))
    assert "case 1, (3, 4), (4,): right, 11 entries to within" in report and ", 1 at kinks left out" in report
    assert "note: w was not checked: backward returns no gradient for it (None)" in report
    assert report.endswith("mine.py: right in 1 case (w not checked).")


def test_a_missing_gradient_is_wrong(tmp_path):
    text = (
        "def forward(x, w):\n    return x @ w\n\ndef backward(dy, x, w):\n    return {'dx': dy @ w.T, 'dW': x.T @ dy}\n"
    )
    report = check_file(write(tmp_path, text), shapes=[(2, 3), (3, 4)])
    assert report.exit_code == 1
    assert "problem: backward returns dW, which is the gradient of no input: is dw meant?" in str(report)


def test_file_may_bear_the_name_of_a_module(tmp_path):
    path = tmp_path / "random.py"
    path.write_text(FUNCTIONS, encoding="utf-8")
    assert check_file(path, shapes=[(3,)]).exit_code == 0


@pytest.mark.parametrize("name", ["random", "torch"])
def test_a_neighbour_that_hides_a_module_is_named(tmp_path, name):
    (tmp_path / f"{name}.py").write_text("import numpy as np\n", encoding="utf-8")
    report = check_file(write(tmp_path, f"import {name}\n{name}.manual_seed(0)\n" + FUNCTIONS), shapes=[(3,)])
    owner = "the package torch" if name == "torch" else "Python's own random"
    assert report.exit_code == 2
    assert report.message.endswith(f"\n{name}.py beside your file hides {owner}; rename it"), report


def test_a_hidden_module_is_named_where_numpy_needs_it(tmp_path):
    (tmp_path / "random.py").write_text("def helper():\n    return 1\n", encoding="utf-8")
    cases = "def cases(rng):\n    yield rng.standard_normal(3)\n"
    report = check_file(write(tmp_path, "import random\n" + FUNCTIONS + cases))
    assert report.exit_code == 2
    assert "random.py beside your file hides Python's own random; rename it" in report.message
    path = tmp_path / "random.py"
    path.write_text("import numpy as np\nnp.random.seed(0)\n" + FUNCTIONS, encoding="utf-8")
    assert "\nrandom.py hides Python's own random; rename it" in check_file(path, shapes=[(3,)]).message


def test_an_error_that_no_name_caused_is_told_alone(tmp_path):
    (tmp_path / "random.py").write_text("", encoding="utf-8")
    report = check_file(write(tmp_path, "import nowhere_to_be_found\n" + FUNCTIONS), shapes=[(3,)])
    assert "nowhere_to_be_found" in report.message and "rename" not in report.message


def test_non_ascii_text_and_much_output_come_through(tmp_path):
    report = check_file(write(tmp_path, "print('∂L/∂x ' * 20000)\n" + FUNCTIONS), shapes=[(3,)])
    assert report.exit_code == 0 and "∂L/∂x" in report.printed and len(report.printed) <= 4000


def test_crash_of_the_interpreter_is_told(tmp_path):
    text = FUNCTIONS.replace("    return 2 * dy", "    import ctypes\n    ctypes.string_at(0)")
    report = check_file(write(tmp_path, text), shapes=[(3,)])
    assert report.exit_code == 2 and "the process ended" in report.message and "line 6" in report.message


def test_figure_is_saved(tmp_path):
    report = check_file(STUDENTS / "wrong_conv_mean.py", plot=tmp_path / "error.png")
    assert report.exit_code == 1 and (tmp_path / "error.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["error.png"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"timeout": 0}, "timeout expects a positive number of seconds"),
        ({"plot": "error.bmp"}, "plot expects a name ending in .png, .pdf or .svg; it is error.bmp"),
        ({"plot": "nowhere/error.png"}, "plot expects a file in a folder that exists"),
    ],
)
def test_misuse_is_told(arguments, told):
    report = check_file(STUDENTS / "right_linear.py", **arguments)
    assert report.exit_code == 2 and told in report.message


def test_notebooks_and_folders_are_told_what_to_do(tmp_path):
    (tmp_path / "mine.ipynb").write_text("{}", encoding="utf-8")
    assert "minitorch_cv.check_gradient" in check_file(tmp_path / "mine.ipynb").message
    assert "it is a folder" in check_file(tmp_path).message


def test_nothing_is_written_beside_the_file(tmp_path):
    path = write(tmp_path, FUNCTIONS)
    check_file(path, shapes=[(3,)])
    assert list(tmp_path.iterdir()) == [path]
