"""Our own kernels under watch: every case of every operation is clean, and every planted mistake is found."""

from pathlib import Path

import pytest
from minitorch_cv.kernels.simulator import module
from planted import PLANTED, told, watched_sources
from test_cases import CASES

from minitorch_cv.checks.case_checks import check_device_bodies

try:
    module.compiler()
except RuntimeError as error:
    pytest.skip(str(error), allow_module_level=True)


@pytest.fixture(scope="module")
def watched():
    with watched_sources() as findings:
        yield findings


@pytest.mark.parametrize("case", CASES, ids=[f"{i}_{case.function}" for i, case in enumerate(CASES)])
def test_nothing_is_found(case, watched):
    watched.clear()
    check_device_bodies(case, "cuda-sim")
    assert not watched, "\n".join(map(str, watched))


@pytest.mark.parametrize("planted", PLANTED, ids=[f"{p.file}: {p.mistake}" for p in PLANTED])
def test_a_planted_mistake_is_told_with_its_kind_and_line(planted):
    if planted.kind == "misaligned" and "clang" in Path(module.compiler()).name:
        pytest.skip("clang splits a float4 in four before it instruments")
    found, all_findings = told(planted)
    assert found, "\n".join(map(str, all_findings)) or "nothing was found"
