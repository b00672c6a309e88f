"""What all tests share: one thread per worker, pictures without a screen, seeded randomness, the checkout's root."""

import os

# Before NumPy is imported anywhere: the workers of pytest-xdist share the machine's cores already.
if "PYTEST_XDIST_WORKER" in os.environ:
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS"):
        os.environ.setdefault(name, "1")
os.environ.setdefault("MPLBACKEND", "Agg")

from pathlib import Path

import hypothesis
import numpy as np
import pytest

# The same examples in every run, and no time limit on one: a slow machine is no bug.
hypothesis.settings.register_profile("repeatable", derandomize=True, deadline=None, print_blob=True)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "repeatable"))


@pytest.fixture
def rng() -> np.random.Generator:
    """A NumPy generator, seeded anew for each test."""
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def checkout() -> Path:
    """The root of the checkout; tests that use it carry the mark `checkout`."""
    return Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def torch():
    """PyTorch as an independent reference; tests that use it carry the mark `yardstick`."""
    return pytest.importorskip("torch", reason="torch is not installed; it comes with the extra [yardstick]")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Marks tests by what they use; skips those of a GPU, of NVRTC or of a browser, with the reason."""
    for item in items:
        if "checkout" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.checkout)
        if "torch" in getattr(item, "fixturenames", ()):
            item.add_marker(pytest.mark.yardstick)
        if item.get_closest_marker("browser") and "browser" not in item.config.option.markexpr:
            item.add_marker(pytest.mark.skip(reason="reads the site in a browser: pytest -m browser tests/docs"))
    gpu_tests = [item for item in items if item.get_closest_marker("gpu")]
    if gpu_tests:
        from minitorch_cv._device import usable_gpu

        usable, reason = usable_gpu()
        if not usable:
            for item in gpu_tests:
                item.add_marker(pytest.mark.skip(reason=reason))
    nvrtc_tests = [item for item in items if item.get_closest_marker("nvrtc")]
    if nvrtc_tests:
        from minitorch_cv.kernels import loader

        try:
            loader.version()
        except RuntimeError as error:
            for item in nvrtc_tests:
                item.add_marker(pytest.mark.skip(reason=str(error)))
