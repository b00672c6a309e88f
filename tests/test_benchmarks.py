"""The benchmark of training steps runs, its sides agree, and its tables are written."""

import json
import subprocess
import sys

import pytest

from minitorch_cv._device import usable_gpu

pytestmark = [pytest.mark.yardstick, pytest.mark.checkout]


def test_a_tiny_row(torch, checkout, tmp_path):
    command = [sys.executable, "benchmarks/cpu.py", "tiny", "--quick", "--rounds", "1", "--results", str(tmp_path)]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    row = json.loads((tmp_path / "cpu.json").read_text(encoding="utf-8"))["steps"]["tiny"]
    assert row["losses agree"] and row["first step"]["within bound"]
    assert max(row["loss error"].values()) < 1e-5 and row["first step"]["error"]["ours"] < 1e-3
    assert set(row["seconds"]) == {"ours", "torch", "torch channels-last"}
    assert row["environment"]["threads"] == {"ours": 2, "torch": 2}
    assert f"| {row['title']} |" in (tmp_path / "cpu.md").read_text(encoding="utf-8")
    assert f"| {row['title']} |" in done.stdout


def test_without_a_gpu_nothing_is_claimed(checkout):
    if usable_gpu()[0]:
        pytest.skip("there is a GPU here")
    before = {path: path.stat().st_mtime_ns for path in (checkout / "benchmarks" / "results").iterdir()}
    done = subprocess.run([sys.executable, "benchmarks/gpu.py"], cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "no GPU is usable here" in done.stdout and "nothing is claimed" in done.stdout
    assert before == {path: path.stat().st_mtime_ns for path in (checkout / "benchmarks" / "results").iterdir()}


def test_rows_by_name(torch, checkout):
    command = [sys.executable, "benchmarks/cpu.py", "resnet21"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 2 and "no row is called resnet21; there are resnet20, " in done.stderr
