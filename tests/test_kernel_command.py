"""`minitorch-cv kernel check`, as a learner sees it: wrong kernels, a right one, and files that cannot be checked."""

import dataclasses
import json
import re
import shutil
from pathlib import Path

import pytest
from minitorch_cv.kernels.simulator import advice, check, finding, harness

from minitorch_cv.cli import main

TURNED = "np.concatenate([x[63::-1], np.zeros(28), x[:63:-1]])"
HARNESS = """/* harness
import numpy as np
from minitorch_cv.kernels.simulator.harness import Launch

def launches():
    x = np.arange(100, dtype=np.float32)
    y = np.zeros(128, np.float32)
    yield Launch("turned", grid=(2,), block=(64,), arguments=[x, y, 100], expected={"y": TURNED})
*/
""".replace("TURNED", TURNED)
KERNEL = """extern "C" __global__ void turned(const float* x, float* y, int n) {
    __shared__ float tile[64];
    const int i = blockIdx.x * blockDim.x + threadIdx.x;
    tile[threadIdx.x] = i < n ? x[i] : 0.0f;
    __syncthreads();
    y[i] = tile[63 - threadIdx.x];
}
"""


@pytest.fixture(autouse=True)
def _needs_a_compiler():
    if not (shutil.which("g++") or shutil.which("clang++")):
        pytest.skip("there is no g++ or clang++")


@pytest.fixture
def told(tmp_path, capsys):
    """Checks a kernel: the exit code, and what is printed."""

    def run(kernel, *options, harness=HARNESS):
        (tmp_path / "turned.cu").write_text(harness + kernel, encoding="utf-8")
        code = main(["kernel", "check", str(tmp_path / "turned.cu"), *options])
        printed = capsys.readouterr()
        return code, printed.out + printed.err

    return run


def test_a_right_kernel(told):
    code, text = told(KERNEL)
    assert code == 0 and re.search(r"turned\.cu: nothing found \(orders, watched", text), text


@pytest.mark.parametrize(
    ("right", "wrong", "kind", "line", "sentence"),
    [
        (
            "    __syncthreads();\n",
            "",
            "race",
            13,
            r"which thread \(\d+, 0, 0\) (read|wrote) at line 1[34]: no barrier",
        ),
        (
            "i < n ? x[i] : 0.0f",
            "x[i]",
            "out-of-bounds",
            13,
            r"block \(1, 0, 0\), thread \(36, 0, 0\): reads x\[100\]; there are 100",
        ),
        (
            "    __syncthreads();\n",
            "    if (i < n) __syncthreads();\n",
            "divergent-barrier",
            14,
            r"__syncthreads\(\) is not reached by every thread of the block",
        ),
    ],
)
def test_a_wrong_kernel_is_explained(told, right, wrong, kind, line, sentence):
    code, text = told(KERNEL.replace(right, wrong), "--no-sanitizers")
    assert code == 1
    first = text.split("\n\n")[0]
    assert first.startswith(f"1. {kind} in turned, turned.cu:"), text
    assert f"{line:>4} | " in first and re.search(sentence, first), text
    for words in advice.ADVICE[kind]:
        assert words in first


def test_sanitizers_confirm(told):
    code, text = told(KERNEL.replace("    __syncthreads();\n", ""))
    assert code == 1
    if "TSan was not run" in text:
        pytest.skip(text)
    assert re.search(r"1\. race .* \(found by .*watched.*TSan\)", text), text


def test_sanitizers_agree_on_an_access_behind_the_end(told):
    kernel = """extern "C" __global__ void turned(float* x, float* y, int n) {
    x[blockIdx.x * blockDim.x + threadIdx.x] *= n;
}
"""
    code, text = told(kernel, harness=HARNESS.replace(TURNED, "np.zeros(128)"))
    assert code == 1
    assert re.search(r"1\. out-of-bounds in turned, turned.cu:11 .*watched", text), text
    assert "race" not in text and "use-after-free" not in text, text


@pytest.mark.parametrize(
    ("report", "kind", "what"),
    [
        ("WARNING: ThreadSanitizer: data race (pid=1)", "race", "data race"),
        ("WARNING: ThreadSanitizer: heap-use-after-free (pid=1)", "out-of-bounds", "heap-use-after-free"),
        ("==1==ERROR: ThreadSanitizer: SEGV on unknown address 0x1", "out-of-bounds", "SEGV"),
        ("==1==ERROR: AddressSanitizer: heap-buffer-overflow on address 0x1", "out-of-bounds", "heap-buffer-overflow"),
        ("==1==ERROR: AddressSanitizer: FPE on unknown address 0x1", "undefined-arithmetic", "FPE"),
    ],
)
def test_only_a_data_race_is_told_as_a_race(report, kind, what):
    text = f"{report}\n    #0 0x7f in turned /mine/turned.cu:11\n  Previous write\n    #0 free <null>:0\n"
    found = check._reported(text, Path("/mine/turned.cu"))
    assert [(f.kind, f.kernel, f.line, f.what) for f in found] == [(kind, "turned", 11, what)]


def test_headers_of_cuda_may_be_included(told):
    lines = ["#include <cuda_runtime.h>  // for nvcc", '# include "device_launch_parameters.h"', "#include <cassert>\n"]
    code, text = told("\n".join(lines) + KERNEL, "--no-sanitizers")
    assert code == 0, text
    code, text = told("// #include <cub/cub.cuh>\n#include <cuda_fp16.h>\n" + KERNEL, "--no-sanitizers")
    assert code == 2 and "turned.cu:11: cuda_fp16.h is not simulated: there is no half precision" in text


@pytest.mark.parametrize("header", ["", "#include <assert.h>"])
def test_an_assertion_that_fails_is_a_finding(told, header):
    kernel = f"{header}\n{KERNEL}".replace("    tile[", "    assert(i < n);\n    tile[")
    code, text = told(kernel)
    assert code == 1
    first, *others = text.split("\n\n")
    assert re.match(r"1\. assertion in turned, turned.cu:14   \(found by orders, watched\)", first), text
    assert "block (1, 0, 0), thread (36, 0, 0): assert(i < n) does not hold." in first
    assert not any(re.match(r"2\.", other) for other in others), text
    assert told(kernel.replace("assert(i < n)", "assert(i < 2 * n)"), "--no-sanitizers")[0] == 0


def test_a_wrong_result_comes_last_and_says_where(told):
    code, text = told(KERNEL.replace("63 - threadIdx.x", "threadIdx.x"), "--no-sanitizers")
    assert code == 1
    assert "1. wrong-result in turned" in text
    assert (
        "y differs from what the harness expects in 128 of 128 elements; the first is y[0]: 0.0, expected 63.0, "
        "with threads in any order." in text
    )


def test_a_wrong_result_names_the_orders_of_threads(told):
    kernel = KERNEL.replace("    __syncthreads();\n", "").replace(
        "[63 - threadIdx.x]", "[max(int(threadIdx.x) - 1, 0)]"
    )
    shifted = "np.pad(x, (0, 28))[[max(i - 1, i // 64 * 64) for i in range(128)]]"
    code, text = told(kernel, "--no-sanitizers", harness=HARNESS.replace(TURNED, shifted))
    assert code == 1 and ", with threads in reverse or random order." in text, text


def test_every_array_that_is_wrong_is_told(told):
    harness = HARNESS.replace('"y":', '"x": x + 1, "y":')
    code, text = told(KERNEL.replace("63 - threadIdx.x", "threadIdx.x"), "--no-sanitizers", harness=harness)
    assert code == 1 and "2 findings" in text
    assert "the first is x[0]: 0.0, expected 1.0" in text and "the first is y[0]: 0.0, expected 63.0" in text


def test_the_example_of_the_help_runs_as_it_stands(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["kernel", "check", "--help"])
    shown = capsys.readouterr().out
    example = re.search(r"\n\n(  /\* harness\n.*?\n  }\n)\n", shown, re.DOTALL)
    assert example
    (tmp_path / "doubled.cu").write_text(example[1], encoding="utf-8")  # as it is copied, indented
    assert main(["kernel", "check", str(tmp_path / "doubled.cu"), "--no-sanitizers"]) == 0
    assert "nothing found (orders, watched)\n" in (printed := capsys.readouterr().out) and "not compared" not in printed
    for parameter in dataclasses.fields(harness.Launch):
        assert re.search(rf"^  .*\b{parameter.name}\b", shown, re.MULTILINE), parameter.name


def test_json(told):
    code, text = told(KERNEL.replace("    __syncthreads();\n", ""), "--no-sanitizers", "--json")
    result = json.loads(text)
    assert code == 1 and result["ran"] == ["orders", "watched"]
    assert {one["finding"]["kind"] for one in result["told"]} == {"race", "wrong-result"}


def test_a_kernel_that_never_ends(told):
    code, text = told(KERNEL.replace("__syncthreads();", "while (*(volatile int*)&n) {}"), "--seconds", "4")
    assert code == 1 and "never-ends" in text and "TSan was not run: it would not end either" in text


def test_a_kernel_that_crashes_is_found_by_the_watched_rung(told):
    code, text = told(KERNEL.replace("y[i]", "y[i + 2000000000]"), "--no-sanitizers")
    assert code == 1
    assert re.search(r"1\. out-of-bounds .*\(found by watched\)", text) and "with SIGSEGV" in text, text


@pytest.mark.parametrize(
    ("kernel", "harness", "message"),
    [
        (KERNEL, "", "turned.cu has no harness, which says how to launch it: write turned.py beside it"),
        (KERNEL, "/* harness\nx = 1\n*/", r"expects a function launches\(\) that yields each Launch; there is none"),
        (
            KERNEL,
            HARNESS.replace('"y":', '"z":'),
            "turned.cu: Launch of turned: expected names 'z'; its arrays are x, y",
        ),
        (
            KERNEL,
            HARNESS.replace('"y":', '"n":'),
            "turned.cu: Launch of turned: expected names 'n'; its arrays are x, y",
        ),
        (
            KERNEL,
            HARNESS.replace(TURNED, "y"),
            "turned.cu: Launch of turned: expected for y is y itself, which would always be right",
        ),
        (
            KERNEL,
            HARNESS.replace(TURNED, "x"),
            r"expected for y is to be numbers of the shape \(128,\); it is of the shape \(100,\) and the type float32",
        ),
        (KERNEL.replace('extern "C"', ""), HARNESS, "no kernel turned; there are none; a kernel is declared extern"),
        (
            KERNEL,
            HARNESS.replace("x, y, 100]", "x, y]"),
            r"turned.cu: Launch of turned: expects 3 arguments \(x, y, n\); 2 came",
        ),
        (
            KERNEL,
            HARNESS.replace("x, y, 100]", "x, y, 100.0]"),
            r"turned.cu: Launch of turned: n expects a number of type int; it is 100.0",
        ),
        (
            KERNEL,
            HARNESS.replace('"turned"', '"turnde"'),
            r'turned.cu: Launch: turned.cu: no kernel turnde; there are turned; a kernel is declared extern "C"',
        ),
        (KERNEL.replace("tile[63", "tiel[63"), HARNESS, r"turned.cu:15:\d+: error: .*tiel"),
        (KERNEL + "int main() { turned<<<2, 64>>>(0, 0, 100); }\n", HARNESS, "It holds host code, <<<...>>>; here"),
    ],
)
def test_what_cannot_be_checked(told, kernel, harness, message):
    code, text = told(kernel, "--no-sanitizers", harness=harness)
    assert code == 2 and re.search(message, text), text


WRONG_HARNESSES = [
    (TURNED, "1 / 0", "8: the harness does not run: ZeroDivisionError: division by zero"),
    ("import numpy as", "import nunpy as", "2: the harness does not run: ModuleNotFoundError: No module .*nunpy"),
    ("def launches():", "def launches()", "5: the harness does not run: SyntaxError: expected ':'"),
    ("    x = ", "    raise SystemExit(0); x = ", "6: the harness does not run: SystemExit: 0"),
    ("yield Launch", "Launch", r" launches\(\) expects to yield each Launch; it returns None: is a yield forgotten\?"),
    ("yield Launch", "return Launch", r" launches\(\) .*; it returns a single one: is a yield forgotten\?"),
    ("yield Launch", "yield 1; yield Launch", r" launches\(\): what .* as number 1 expects a Launch; it is 1$"),
    ("yield Launch", "if False: yield Launch", r" launches\(\) expects to yield a Launch at least; it yields none"),
    ("(2,)", "2.0", r"8: Launch of turned: grid expects an int, or one to three ints \(x, y, z\); it is 2.0"),
    ("(64,)", "(8, 8, 1, 1)", r"8: Launch of turned: block expects an int, or .* it is \(8, 8, 1, 1\)"),
    ("[x, y, 100]", "x", r"8: Launch of turned: arguments expects a list, in .*; it is array\("),
    (
        "grid=(2,), block=(64,), arguments=[x, y, 100], expected=",
        "(2,), (64,), [x, y, 100], ",
        "8: Launch of turned: shared_bytes expects an int; it is {'y': array",
    ),
    ('{"y": ' + TURNED + "}", "y", "8: Launch of turned: expected expects a dict of .*; it is array"),
    (
        "[x, y,",
        "[x, np.zeros((128, 2), np.float32)[:, 0],",
        r"8: Launch of turned: arguments\[1\] expects .* one after the other.* \(128,\), its strides \(8,\)",
    ),
]


@pytest.mark.parametrize(("right", "wrong", "message"), WRONG_HARNESSES)
def test_a_harness_that_is_wrong_is_told_by_its_line(told, right, wrong, message):
    code, text = told(KERNEL, "--no-sanitizers", harness=HARNESS.replace(right, wrong))
    assert code == 2 and re.search(f"turned.cu:{message}", text), text
    assert "Traceback" not in text


def test_a_harness_beside_that_is_wrong_is_told_by_its_line(told, tmp_path):
    (tmp_path / "turned.py").write_text("import numpy\n\ndef launches(:\n", encoding="utf-8")
    code, text = told(KERNEL)
    assert code == 2 and "turned.py:3: the harness does not run: SyntaxError: " in text, text


def test_a_file_that_is_no_text(tmp_path, capsys):
    (tmp_path / "turned.cu").write_bytes(b"// caf\xe9\n")
    assert main(["kernel", "check", str(tmp_path / "turned.cu")]) == 2
    assert "turned.cu expects text in UTF-8; it cannot be read: 'utf-8' codec" in capsys.readouterr().err


def test_numbers_of_blocks_and_threads_may_be_ints(told):
    code, text = told(KERNEL, "--no-sanitizers", harness=HARNESS.replace("(2,)", "2").replace("(64,)", "64"))
    assert code == 0, text


def test_results_that_are_not_compared_are_told(told):
    code, text = told(KERNEL, "--no-sanitizers", harness=re.sub(", expected=.*", ")", HARNESS))
    assert code == 0 and "The results of turned were not compared with anything" in text
    assert "not compared" not in told(KERNEL, "--no-sanitizers")[1]


def test_a_file_that_is_not_there(capsys):
    assert main(["kernel", "check", "nowhere.cu"]) == 2
    assert "nowhere.cu is not there" in capsys.readouterr().err


def test_no_compiler(told, monkeypatch):
    monkeypatch.setenv("MINITORCH_CV_CXX", "no-such-compiler")
    check.compiler.cache_clear()
    try:
        code, text = told(KERNEL)
    finally:
        monkeypatch.undo()
        check.compiler.cache_clear()
    assert code == 2 and "apt install g++" in text


def test_a_missing_sanitizer_is_named_with_its_package(told, monkeypatch):
    monkeypatch.setattr(check, "_library", lambda name: None)
    code, text = told(KERNEL)
    assert code == 0 and "TSan was not run: it is not installed. Debian and Ubuntu: apt install libtsan2" in text


def test_every_kind_has_its_advice():
    assert set(advice.ADVICE) == set(finding.KINDS)
