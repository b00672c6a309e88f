"""Machine code on disk: found again by another process, never half a file, never another version's, never needed."""

import json
import os
import subprocess
import sys

import pytest

pytest.importorskip("llvmlite", reason="llvmlite is not installed; kernels on the processor need it")

STEP = """
import json, sys, numpy as np
from minitorch_cv.kernels.cpu import compiler
compiled = []
compiler.Announcements.listeners.append(lambda name, seconds: compiled.append(name) if seconds is None else None)
from minitorch_cv import ops
y = ops.conv2d(np.ones((2, 3, 8, 8), np.float32), np.ones((5, 3, 3, 3), np.float32), padding=1)
folder = compiler.cache_folder()
print(json.dumps({"sum": float(y.sum()), "compiled": compiled, "numba": "numba" in sys.modules, "folder": str(folder)}))
"""
EXPECTED = 2 * 5 * 3 * (36 * 9 + 24 * 6 + 4 * 4)


def run(cache, **environment):
    done = subprocess.run(
        [sys.executable, "-c", STEP],
        env={**os.environ, "MINITORCH_CV_CACHE": str(cache), **environment},
        capture_output=True,
        encoding="utf-8",
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["sum"] == EXPECTED
    return result


def test_a_second_process_compiles_nothing(tmp_path):
    first, second = run(tmp_path), run(tmp_path)
    assert "conv2d_direct.correlate_band.float32" in first["compiled"] and first["numba"]
    assert second["compiled"] == [] and not second["numba"]


def test_a_damaged_file_is_compiled_again(tmp_path):
    folder = run(tmp_path)["folder"]
    path = os.path.join(folder, "conv2d_direct.correlate_band.float32.o")
    with open(path, "r+b") as file:
        file.truncate(1000)
    assert run(tmp_path)["compiled"] == ["conv2d_direct.correlate_band.float32"]
    assert run(tmp_path)["compiled"] == []


def test_two_processes_at_once(tmp_path):
    environment = {**os.environ, "MINITORCH_CV_CACHE": str(tmp_path)}
    both = [
        subprocess.Popen([sys.executable, "-c", STEP], env=environment, stdout=subprocess.PIPE, encoding="utf-8")
        for _ in range(2)
    ]
    assert [json.loads(process.communicate()[0])["sum"] for process in both] == [EXPECTED] * 2
    assert run(tmp_path)["compiled"] == []


def test_other_vectors_other_code(tmp_path):
    folders = {run(tmp_path, MINITORCH_CV_VECTORS=vectors)["folder"] for vectors in ("avx2", "128")}
    assert len(folders) == 2


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no users by number")
def test_works_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    result = run(tmp_path / "file")
    assert result["folder"] == "None" and "conv2d_direct.correlate_band.float32" in result["compiled"]


@pytest.mark.skipif(not hasattr(os, "getuid"), reason="this system has no users by number")
def test_no_code_is_taken_from_a_folder_that_others_can_write(tmp_path):
    folder = run(tmp_path)["folder"]
    os.chmod(folder, 0o777)
    assert run(tmp_path)["folder"] == "None"


def test_a_readers_own_kernel_is_compiled_when_it_changes(tmp_path):
    script = tmp_path / "own.py"
    text = (
        "from __future__ import annotations\nimport numpy as np\n"
        "from minitorch_cv.kernels.cpu.kernel import kernel\n"
        "from minitorch_cv.kernels.cpu.language import Pointer, number\n"
        "@kernel\ndef scaled(task, worker, x: Pointer, y: Pointer, n: int):\n"
        "    for i in range(n):\n        y[i] = x[i] * number(x, FACTOR)\n"
        "x = np.ones(3)\ny = np.empty(3)\nscaled(1, x, y, 3)\nprint(y[2])\n"
    )
    of_kind = text.replace("n: int)", "n: int, FACTOR: KIND)").replace("y, 3)", "y, 3, 4)")
    texts = [(f, text.replace("FACTOR", f)) for f in ("2.0", "3.0", "2.0")]
    texts += [("4.0", of_kind.replace("KIND", kind)) for kind in ("int", "float", "int")]
    for factor, content in texts:
        script.write_text(content)
        environment = {**os.environ, "MINITORCH_CV_CACHE": str(tmp_path / "cache")}
        done = subprocess.run([sys.executable, script], env=environment, capture_output=True, encoding="utf-8")
        assert done.stdout.strip() == factor, done.stderr


@pytest.mark.parametrize(
    ("signature", "message"),
    [
        ("x: Pointer, n: str", "each parameter after task and worker expects one of Pointer, Bytes"),
        ("n: int", "expects a Pointer among its parameters"),
    ],
)
def test_a_kernel_that_cannot_be_is_refused_when_it_is_defined(signature, message):
    from minitorch_cv.kernels.cpu.kernel import kernel

    namespace: dict = {"__name__": "own", "kernel": kernel}
    text = f"from __future__ import annotations\n@kernel\ndef odd(task, worker, {signature}): pass\n"
    with pytest.raises(TypeError, match=message):
        exec(text, namespace)
