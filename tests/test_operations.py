"""Every operation on every one of its cases: value, gradients of both orders, errors, docstring, planted faults."""

import inspect
import re

import pytest

from minitorch_cv import ops
from minitorch_cv._op import OPS
from minitorch_cv.checks.case import collect
from minitorch_cv.checks.case_checks import check_case, check_error
from minitorch_cv.checks.case_run import CaseRun
from minitorch_cv.checks.planting import plant_faults
from minitorch_cv.checks.suite import fault_findings, gaps, public_functions

CASES, ERRORS, FAULTS = collect()

SECTIONS = ("Forward", "Backward", "Shapes", "Units", "Raises", "Source", "Lesson", "Kernel")


def _identities(items):
    """A name for each, with a number where two are the same."""
    names = [re.sub(r"[^\w.,=+-]+", "_", str(item)) for item in items]
    return [name if names.count(name) == 1 else f"{name}_{i}" for i, name in enumerate(names)]


@pytest.mark.parametrize("case", CASES, ids=_identities(CASES))
def test_case(case):
    assert check_case(case).findings == []


@pytest.mark.parametrize("error", ERRORS, ids=_identities([f"{e.function}:{e.message}" for e in ERRORS]))
def test_error(error):
    assert check_error(error) == []


def test_every_operation_is_reached():
    """By a case, with a reference for each public function, and an error case wherever the docstring says Raises."""
    assert gaps({name for case in CASES for name in CaseRun(case).operations}) == []


@pytest.mark.slow  # thousands of gradients: what a fault is caught by is known only when every case has run
def test_every_planted_fault_is_caught():
    planted = [planting for case in CASES for planting in plant_faults(case, FAULTS)]
    assert fault_findings(planted, FAULTS) == []
    assert len(planted) > 10 * len(OPS)


@pytest.mark.parametrize("name", sorted({*OPS, *public_functions()}))
def test_docstring(name):
    """An operation states Forward, Backward and Shapes, and its sections stand in the house's order."""
    text = inspect.getdoc(getattr(ops, name, None) or OPS[name]) or ""
    found = [section for section in re.findall(r"^(\w+):  ", text, re.MULTILINE) if section in SECTIONS]
    assert text.splitlines()[0].endswith(".")
    assert found == sorted(found, key=SECTIONS.index)
    assert len(set(found)) == len(found)
    if name in OPS:
        assert found[:3] == ["Forward", "Backward", "Shapes"]
