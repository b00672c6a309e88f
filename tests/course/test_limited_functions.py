"""Functions that a student's test is given: bounded, silent on what stands behind them, of no use in a table."""

import inspect
import subprocess
import sys
import time

import numpy as np
import pytest

from minitorch_cv.course.checks import FindsFaults
from minitorch_cv.course.exercise import all_exercises, find_exercise
from minitorch_cv.course.judge import judge
from minitorch_cv.course.limited_functions import LimitedFunction, NotCalled
from minitorch_cv.course.sandbox import Sandbox

CHECKS = [(e, check) for e in all_exercises() for check in e.checks if isinstance(check, FindsFaults)]
LINEAR = find_exercise("find_faults_linear")
X, WEIGHT, BIAS, DY = np.ones((4, 3)), np.ones((2, 3)), np.ones(2), np.ones((4, 2))


def given(name="forward", fault="", seed=1, exercise=LINEAR):
    return LimitedFunction(str(exercise.path), "test", name, fault, seed)


def said_by(function, *arguments, **named):
    with pytest.raises(NotCalled) as caught:
        function.apart(arguments, named)
    return str(caught.value)


def test_apart_and_here_are_the_same():
    apart = given("backward").apart((DY, X, WEIGHT), {"bias": BIAS})
    assert all(np.array_equal(a, b) for a, b in zip(apart, given("backward")(DY, X, WEIGHT, BIAS), strict=True))


def test_complex_numbers_are_numbers():
    slope = given().apart((X + 1e-20j, WEIGHT, BIAS), {}).imag / 1e-20
    above, below = (given()(X + h, WEIGHT, BIAS) for h in (1e-6, -1e-6))
    assert slope == pytest.approx((above - below) / 2e-6, rel=1e-6)


@pytest.mark.parametrize(("exercise", "check"), CHECKS, ids=[e.name for e, _ in CHECKS])
def test_errors_do_not_tell_right_from_wrong(exercise, check):
    count = len(inspect.signature(getattr(exercise.reference, check.backward)).parameters)
    for arguments in ((), (1.0,) * (count + 1), (np.ones(3),) * count, (np.ones((1, 2)),) * count, ("x",) * count):
        said = set()
        for fault in ("", *check.faults):
            try:
                given(check.backward, fault, exercise=exercise).apart(arguments, {})
                said.add("")
            except NotCalled as reason:
                said.add(str(reason))
        assert len(said) == 1, said


def test_a_script_that_calls_it_is_not_run_again(tmp_path):
    script = tmp_path / "mine.py"
    script.write_text(
        "import numpy as np\n"
        "print('run')\n"
        "from minitorch_cv.course.limited_functions import LimitedFunction\n"
        f"function = LimitedFunction({str(LINEAR.path)!r}, 'test', 'forward', '', 1)\n"
        "print(function.apart((np.ones((2, 1)), np.ones((1, 1)), np.ones(1)), {}).shape)\n",
        encoding="utf-8",
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    assert done.stdout.split("\n") == ["run", "(2, 1)", ""]


def test_a_call_has_its_memory_and_its_time():
    rows = np.zeros((1200, 1))
    assert "needs more memory" in said_by(given(), rows, rows, np.zeros((1200, 1, 1)))
    conv2d, kernel = find_exercise("find_faults_conv2d"), np.zeros((1, 1, 60, 60))
    began = time.monotonic()
    said = said_by(given(exercise=conv2d), np.zeros((1, 1, 2, 2)), kernel, np.zeros(1), 1, 2000)
    assert "more time" in said or "more memory" in said
    assert time.monotonic() - began < 10
    assert "smaller arrays will do" in said_by(given(), np.zeros((5000, 1)), WEIGHT, BIAS)
    assert given().apart((X, WEIGHT, BIAS), {}).shape == (4, 2)  # in a process that is there again


@pytest.mark.parametrize(("exercise", "check"), CHECKS, ids=[e.name for e, _ in CHECKS])
def test_what_a_right_one_gave_once_is_no_table(exercise, check):
    if not check.secret_term:
        pytest.skip(f"{exercise.name}: the value is what is tested, and its formula is known")
    rng = np.random.default_rng(0)
    shapes, settings = {
        "find_faults_linear": ([(4, 3), (2, 3), (2,)], ()),
        "find_faults_softmax": ([(3, 4)], ()),
        "find_faults_batch_norm": ([(5, 2), (2,), (2,)], ()),
        "find_faults_conv2d": ([(2, 2, 4, 5), (2, 2, 3, 2), (2,)], (2, 1)),
    }[exercise.name]
    inputs = [*(rng.standard_normal(shape) for shape in shapes), *settings]
    dy = rng.standard_normal(given(check.of, exercise=exercise)(*inputs).shape)
    dy -= dy.mean()  # along which what is the same for every output would vanish
    first, second = (given(check.backward, "", seed, exercise)(dy, *inputs) for seed in (1, 2))
    for a, b in zip(first, second, strict=True):
        assert np.linalg.norm(a - b) > 0.1 * np.linalg.norm(a)


@pytest.mark.parametrize(
    "body",
    [
        # What a call says in vain.
        "try: backward()\n    except Exception as error: return 'lambda' not in str(error)",
        # A table.
        "x, w, b = np.ones((4, 3)), np.ones((2, 3)), np.ones(2)\n"
        "    return abs(backward(np.ones((4, 2)), x, w, b)[1].sum() - 24) < 1e-6",
    ],
)
def test_nothing_is_earned_without_a_test(body):
    code = LINEAR.stub.replace('raise NotImplementedError("yours to write")', body)
    assert judge(LINEAR, code, Sandbox.unconfined(), 5).score == 0
