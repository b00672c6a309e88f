"""What the manifest lists for a GPU."""

import os
import subprocess
import sys

LISTED = """
from minitorch_cv.kernels import manifest
print(len([b for b in manifest.BODIES + manifest.UPDATES if b.device == "cuda"]),
      len([b for b in manifest.BODIES + manifest.UPDATES if b.device == "cuda-sim"]))
"""


def listed(setting):
    environment = {**os.environ, "MINITORCH_CV_CUDA": setting}
    return subprocess.run([sys.executable, "-c", LISTED], env=environment, capture_output=True, text=True)


def test_a_gpu_takes_untried_bodies_only_where_that_is_asked_for():
    on_gpu, simulated = map(int, listed("").stdout.split())
    assert on_gpu == 0 < simulated
    assert listed("untried").stdout.split() == [str(simulated)] * 2


def test_another_word_is_refused():
    assert "MINITORCH_CV_CUDA expects untried, or nothing; it is 'yes'" in listed("yes").stderr
