"""The suite itself: what it must find, what it prints and returns."""

import io

import numpy as np
import pytest
from minitorch_cv.kernels.manifest import Body

import minitorch_cv as mt
from minitorch_cv import ops
from minitorch_cv._op import op
from minitorch_cv.checks import suite
from minitorch_cv.checks.case import Case, ErrorCase, Fault, collect, planted, wrong_gradient
from minitorch_cv.checks.case_checks import Call, check_case, check_error, check_faster_body
from minitorch_cv.checks.planting import CAUGHT, NO_CHANGE, plant_faults
from minitorch_cv.checks.suite import fault_findings, gaps, run

CASE = Case("tanh", "a matrix", lambda rng: {"x": rng.standard_normal((3, 4))}, reference=lambda x: np.tanh(x))


def findings(case, body, operation=None):
    """What the checks say of a case while its operation runs another body."""
    with planted(operation or case.function, body):
        return check_case(case).findings


def changed(change, operation="tanh"):
    return wrong_gradient(change)(mt.OPS[operation].body)


def test_a_right_operation_has_no_findings():
    result = check_case(CASE)
    assert result.ok and result.entries == 12 and result.second_entries == 24 and result.operations == ["tanh"]


def test_a_thousandth_in_one_entry_is_found():
    def off(grads, dy, x):
        wrong = np.array(grads[0])
        wrong[1, 2] *= 1.001
        return [wrong]

    found = findings(CASE, changed(off))
    assert any(finding.startswith("dx: at (1, 2)") for finding in found)


def test_a_nan_is_found():
    assert any("NaN" in f for f in findings(CASE, changed(lambda grads, dy, x: [grads[0] * np.nan])))


def test_a_wrong_value_is_found():
    def wrong(x):
        y, backward = mt.OPS["sigmoid"].body(x)
        return y, backward

    assert any("differs from the reference" in f for f in findings(CASE, wrong))


def test_a_shape_a_dtype_and_shared_memory_are_found():
    assert any("shape" in f for f in findings(CASE, changed(lambda grads, dy, x: [grads[0][0]])))

    def double(x):
        return np.tanh(x), lambda dy: (dy * (1 - np.tanh(x) ** 2)).astype(np.float64)

    assert any("float64" in f for f in findings(CASE, double))

    def lent(x):
        return np.tanh(x), lambda dy: x

    assert any("memory" in f for f in findings(CASE, lent))


def test_a_change_in_place_is_found():
    def careless(x):
        y, backward = right(x)

        def overwriting(dy):
            gradient = backward(dy)
            x[0] = 0
            return gradient

        return y, overwriting

    right = mt.OPS["tanh"].body
    assert any("changed in place" in f for f in findings(CASE, careless))


def test_an_order_in_memory_that_is_relied_on_is_found():
    def careless(x):
        return np.tanh(x), lambda dy: dy * (1 - np.tanh(x.ravel("K").reshape(x.shape)) ** 2)

    assert any("column-major" in f for f in findings(CASE, careless))


def test_state_is_found():
    count = [0]

    def counting(x):
        count[0] += 1
        return np.tanh(x) + 1e-3 * count[0], lambda dy: dy * (1 - np.tanh(x) ** 2)

    assert any("another value" in f for f in findings(CASE, counting))


def test_a_second_order_that_is_cut_is_found():
    def cut(x):
        value = x.data if isinstance(x, mt.Tensor) else x
        return np.tanh(value), lambda dy: dy * (1 - np.tanh(value) ** 2)

    assert any(f.startswith("second order, x") for f in findings(CASE, cut))


def test_a_wrong_transpose_is_found():
    case = Case("sum", "rows", lambda rng: {"x": rng.standard_normal((3, 4))}, {"axis": 0})
    slightly = wrong_gradient(lambda grads, dy, *rest: [grads[0] * (1 + 1e-8)])(mt.OPS["sum"].body)
    found = findings(case, slightly)
    assert found == [f for f in found if "not the transpose" in f] != []


def test_gaps_are_found():
    @op
    def unreached(x):
        return x + 1, lambda dy: dy

    try:
        reached = {name for name in mt.OPS if name != "unreached"}
        assert gaps(reached, ["unreached"]) == ["unreached: no case runs it"]
    finally:
        del mt.OPS["unreached"]


def test_errors_are_compared_whole():
    call = lambda: ops.matmul(np.ones((2, 3)), np.ones((2, 3)))
    with pytest.raises(ValueError) as caught:
        call()
    message = str(caught.value)
    assert check_error(ErrorCase("matmul", call, ValueError, message)) == []
    assert check_error(ErrorCase("matmul", call, ValueError, message[:-1]))
    assert check_error(ErrorCase("matmul", call, TypeError, message))
    assert check_error(ErrorCase("matmul", lambda: None, ValueError, message))


def test_faults_that_survive_or_never_show_are_found():
    planted_in = plant_faults(CASE, [])
    assert {planting.outcome for planting in planted_in} <= {CAUGHT, NO_CHANGE}
    assert fault_findings(planted_in, []) == []
    harmless = Fault("tanh", "nothing", wrong_gradient(lambda grads, dy, x: grads))
    tiny = Fault("tanh", "too small", wrong_gradient(lambda grads, dy, x: [grads[0] * (1 + 1e-9)]))
    broken = Fault("tanh", "broken", wrong_gradient(lambda grads, dy, x: undefined))  # noqa: F821
    found = fault_findings(plant_faults(CASE, [harmless, tiny, broken]), [harmless, tiny, broken])
    assert any("no case shows its fault: nothing" in f for f in found)
    assert any("too small survived" in f for f in found)
    assert any("broken broken" in f for f in found)


def twice_tanh(x):
    y, backward = mt.OPS["tanh"].body(x)
    return y * (1 + 1e-9), backward


def test_a_faster_body_is_held_to_its_bound(rng):
    call = Call("tanh", (rng.standard_normal((3, 4)),), {})
    double = Body("tanh", "cpu", ("float64",), __name__, "twice_tanh")
    assert any("off by 1.0e-09" in f for f in check_with(call, double))
    single = Body("tanh", "cpu", ("float32",), __name__, "twice_tanh", error_bound=1e-6)
    assert check_with(call, single) == []
    assert check_with(call, single._replace(error_bound=1e-12))


def check_with(call, entry):
    from unittest.mock import patch

    with patch("minitorch_cv.checks.case_checks._load", lambda entry: twice_tanh):
        return check_faster_body(call, entry)


@pytest.mark.parametrize(("options", "expected"), [({}, "all right"), ({"faults": True}, "faults caught")])
def test_the_command_prints_and_returns(options, expected):
    out = io.StringIO()
    assert run(["sigmoid", "sum"], out=out, **options) == 0
    assert expected in out.getvalue() and "sigmoid" in out.getvalue() and "conv2d" not in out.getvalue()


def test_own_faults_are_asked_of_what_was_named_alone():
    """batch_norm is computed with relu, too, whose own faults stand on relu's cases."""
    out = io.StringIO()
    assert run(["batch_norm"], faults=True, out=out) == 0
    assert "no case shows" not in out.getvalue()


def test_the_command_fails_on_a_wrong_gradient():
    out = io.StringIO()
    with planted("sigmoid", changed(lambda grads, dy, x: [grads[0] * 1.001], "sigmoid")):
        assert run(["sigmoid"], out=out) == 1
    assert "WRONG" in out.getvalue() and "sigmoid, both signs: dx" in out.getvalue()


def test_an_unknown_name(capsys):
    assert run(["no_such_operation"]) == 2
    assert "no_such_operation" in capsys.readouterr().err


def test_processes_give_what_one_gives():
    tasks = list(range(4))
    names = [collect()[0][i].function for i in tasks]
    together = suite.in_processes(suite._check_indexed, [(i, 1) for i in tasks], 2, True)
    assert [result.function for result in together] == names
    assert all(result.ok for result in together)


def test_a_stem_names_all_that_stands_in_its_file():
    cases, unknown = suite.select(["residual", "reduce"])
    assert not unknown
    assert {case.function for case in cases} == {"add_relu", "argmax", "argmin", "max", "mean", "min", "sum", "var"}
    assert {gap.partition(":")[0] for gap in gaps([], ["residual"])} <= {"add_relu"}
    assert suite.select(["residuals"]) == ([], ["residuals"])
