"""Every case of every operation with a body on CUDA, every load and store watched: our own kernels do nothing wrong."""

import functools

import pytest
from minitorch_cv.kernels.cuda import source
from minitorch_cv.kernels.simulator.watched import WatchedModule
from test_cases import CASES

from minitorch_cv.checks.case_checks import check_device_bodies


@pytest.fixture
def found(monkeypatch):
    """The findings of all launches, which go through the watched build."""
    findings = []

    @functools.cache
    def watched(path):
        module = WatchedModule(path)
        launch = module.launch

        def launch_and_keep(*arguments, **settings):
            findings.extend(launch(*arguments, **settings).findings)

        module.launch = launch_and_keep
        return module

    monkeypatch.setattr(source, "_simulated", watched)
    return findings


@pytest.mark.parametrize("case", CASES, ids=[f"{i}_{case.function}" for i, case in enumerate(CASES)])
def test_nothing_is_found(case, found):
    check_device_bodies(case, "cuda-sim")
    assert not found, "\n".join(map(str, found))
