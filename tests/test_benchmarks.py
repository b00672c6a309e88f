"""The benchmark of training steps runs, its sides agree, and its tables are written."""

import json
import subprocess
import sys

import pytest

pytestmark = pytest.mark.checkout


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


def test_rows_by_name(torch, checkout):
    command = [sys.executable, "benchmarks/cpu.py", "resnet21"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True)
    assert done.returncode == 2 and "no row is called resnet21; there are resnet20, " in done.stderr


def gpu_benchmark(checkout, code):
    """Runs code beside benchmarks/gpu.py."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, 'benchmarks'); import gpu\n{code}"]
    return subprocess.run(command, cwd=checkout, capture_output=True, text=True)


def test_without_a_gpu_nothing_is_claimed(checkout, tmp_path):
    """It ends well, before torch is even imported, and writes nothing."""
    code = f"""
gpu.usable_gpu = lambda: (False, "CuPy finds no CUDA device")
sys.modules["torch"] = None
sys.argv = ["gpu.py", "--results", {str(tmp_path)!r}]
sys.exit(gpu.main())"""
    done = gpu_benchmark(checkout, code)
    assert done.returncode == 0, done.stderr
    assert "no GPU is usable here: CuPy finds no CUDA device. Nothing was measured" in done.stdout
    assert list(tmp_path.iterdir()) == []


def test_wrong_kernels_are_not_timed(checkout, tmp_path):
    code = f"""
gpu.usable_gpu = lambda: (True, "")
gpu.TESTS = ["-c", "raise SystemExit(1)"]
gpu.measured = lambda *_: print("MEASURED")
sys.argv = ["gpu.py", "--results", {str(tmp_path)!r}]
sys.exit(gpu.main())"""
    done = gpu_benchmark(checkout, code)
    assert done.returncode == 1 and "the kernels' tests fail on this GPU" in done.stdout
    assert "MEASURED" not in done.stdout and list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_the_lines_of_the_gpu_benchmark_on_a_processor(torch, checkout, tmp_path):
    """At toy sizes, with both libraries on the processor: the same losses, every row, and tables of them."""
    code = f"""
from pathlib import Path
gpu.write(Path({str(tmp_path)!r}), gpu.measured("cpu", 600), {{"machine": "no GPU"}})"""
    done = gpu_benchmark(checkout, code)
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "gpu.json").read_text(encoding="utf-8"))
    assert [row["losses agree"] for row in found["steps"]] == [True] and found["left out"] == []
    assert len(found["layers"]) == 10 and {row["pass"] for row in found["layers"]} == {
        "forward",
        "forward and backward",
    }
    assert all(seconds > 0 for row in found["layers"] + found["steps"] for seconds in row["seconds"].values())
    text = (tmp_path / "gpu.md").read_text(encoding="utf-8")
    assert "- machine: no GPU" in text and all(
        f"| {row['title']} |" in text for row in found["layers"] + found["steps"]
    )
