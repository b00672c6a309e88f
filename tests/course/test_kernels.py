"""Exercises in CUDA: kernels are compiled and launched in the student's process, whatever else their file does."""

import subprocess
import sys

import pytest

from minitorch_cv.course.exercise import all_exercises, find_exercise
from minitorch_cv.course.grade import LIMITS
from minitorch_cv.course.handin import Handin
from minitorch_cv.course.handout import script, write_folder
from minitorch_cv.course.judge import NotStarted, judge
from minitorch_cv.course.kernel_source import refusal, same_code
from minitorch_cv.course.language import CUDA
from minitorch_cv.course.release import Course, release
from minitorch_cv.course.sandbox import Sandbox, Strength, Unavailable

KINDS = {
    "mend_race": "race",
    "mend_barrier": "divergent-barrier",
    "mend_bounds": "out-of-bounds",
    "mend_wait": "stale-copy",
    "mend_mask": "warp-collective",
    "mend_alignment": "misaligned",
}
MASK = find_exercise("mend_mask")
needs_compiler = pytest.mark.skipif(bool(CUDA.missing()), reason=CUDA.missing() or "there is a compiler")


@pytest.fixture(scope="module")
def sandbox():
    try:
        return Sandbox.find()
    except Unavailable as reason:
        pytest.skip(f"no sandbox here: {reason}")


def test_every_kernel_to_mend_is_known():
    assert {exercise.name for exercise in all_exercises() if exercise.name.startswith("mend_")} == set(KINDS)


@needs_compiler
@pytest.mark.parametrize("name", KINDS)
def test_a_broken_kernel_is_found_by_its_kind_in_every_case(name):
    exercise = find_exercise(name)
    judgement = judge(exercise, exercise.stub, Sandbox.unconfined(), 5)
    assert judgement.is_untouched and not judgement.hints
    for case in judgement.cases:
        assert case.verdict.message.startswith(f"{KINDS[name]}, line "), case
    assert "why it matters" in judgement.cases[0].verdict.message
    assert ", expected" not in judgement.cases[0].verdict.message
    assert ", expected" in judgement.cases[0].verdict.detail


@needs_compiler
@pytest.mark.parametrize("name", KINDS)
def test_lines_are_those_of_the_handed_out_file(name):
    exercise = find_exercise(name)
    text = script(exercise, exercise.stub)
    assert text.startswith(f"// {exercise.title}.\n") and "$" not in text
    messages = [
        judge(exercise, code, Sandbox.unconfined(), 5).cases[0].verdict.message for code in (exercise.stub, text)
    ]
    above = text.count("\n") - exercise.stub.count("\n")
    first, moved = (int(message.partition("line ")[2].partition(":")[0]) for message in messages)
    assert moved == first + above


@needs_compiler
@pytest.mark.parametrize("seed", [3, 4])
@pytest.mark.parametrize("name", KINDS)
@pytest.mark.slow
def test_other_inputs_change_nothing(name, seed):
    exercise = find_exercise(name)
    assert judge(exercise, exercise.solution, Sandbox.unconfined(), seed).is_full
    assert judge(exercise, exercise.stub, Sandbox.unconfined(), seed).score == 0
    for mistake in exercise.mistakes:
        judgement = judge(exercise, exercise.with_mistake(mistake), Sandbox.unconfined(), seed)
        assert judgement.hints == [mistake.hint], mistake.name


@needs_compiler
def test_a_mistake_is_recognised_under_other_names_and_layout():
    mistake = next(m for m in MASK.mistakes if m.name == "both halves")
    text = MASK.with_mistake(mistake).replace("sum", "total").replace("lane", "me").replace("\n", "\n\n")
    assert judge(MASK, text, Sandbox.unconfined()).hints == [mistake.hint]


@needs_compiler
def test_a_file_that_does_not_compile_is_told_with_its_line():
    judgement = judge(MASK, MASK.solution.replace("float sum = 0.0f;", "float sum = 0.0f"), Sandbox.unconfined())
    assert "does not compile" in judgement.failure and "\nmend_mask.cu:" in judgement.failure
    assert "/tmp" not in judgement.failure and judgement.score == 0


@needs_compiler
def test_another_name_or_parameter_is_told():
    renamed = judge(MASK, MASK.solution.replace("average_pool", "mean_pool"), Sandbox.unconfined())
    assert "no kernel average_pool; there are mean_pool" in renamed.cases[0].verdict.message
    changed = judge(
        MASK, MASK.solution.replace("int planes, ", "").replace("plane >= planes", "0"), Sandbox.unconfined()
    )
    assert "expects 3 arguments" in changed.cases[0].verdict.message


# ---- hostile files ---------------------------------------------------------------------------------------------------

HOSTILE = {
    "an endless loop": ("while (true) { volatile int i = 0; i = i + 1; }", "never-ends: No answer within 3 s"),
    "an endless loop of threads": ("while (true) __syncthreads();", "never-ends: No answer within 3 s"),
    "a segmentation fault": ("*reinterpret_cast<volatile int*>(16) = 1;", "out-of-bounds, line "),
    "a crash": ("__builtin_trap();", "crash: "),
    "a call of the C library": ("quick_exit(0);", "'quick_exit' was not declared"),
    "an object that begins early": ("", "needs code to begin with"),
    "a flood": ('while (true) printf("%0999d", 1);', "print"),
    "a recursion": ("recurse(1);", "calls itself without end"),
}
RECURSE = """
#include <cassert>
__noinline__ int recurse(int n) { volatile int a[99]; a[n % 99] = n; return recurse(n + 1) + a[0]; }
"""

EARLY = """
struct Hook { int a; __device__ Hook() { a = int(threadIdx.x); } };
static Hook hook;
"""


@needs_compiler
@pytest.mark.parametrize("what", HOSTILE)
def test_hostile_kernels_lose_their_own_points_alone(what, sandbox):
    body, told = HOSTILE[what]
    early = EARLY if "early" in what else ""
    text = RECURSE + early + MASK.solution.replace("    float sum = 0.0f;", f"    {body}\n    float sum = 0.0f;")
    assert not refusal(text)
    judgement = judge(MASK, text, sandbox, 7, LIMITS._replace(seconds=3.0))
    assert judgement.score == 0 and not judgement.hints
    assert any(told in case.verdict.message for case in judgement.cases), judgement.cases
    assert judge(MASK, MASK.solution, sandbox, 7, LIMITS).is_full


LOOK = r"""
extern "C" __global__ void average_pool(const float* x, float* y, int planes, int pixels) {
    if (threadIdx.x || blockIdx.x) return;
    for (const char* path : {"/packages/minitorch_cv/course", "/packages/minitorch_cv/__init__.py", "/etc/passwd",
                             "/packages/minitorch_cv/kernels/cuda", "/home", "/work", "/proc/1", "THIS"})
        if (access(path, 0) == 0) printf("sees %s\n", path);
    printf("looked, simulator %d\n", access("/packages/minitorch_cv/kernels/simulator/cuda.h", 0));
}
"""


@needs_compiler
def test_the_simulator_is_all_that_is_there_of_the_package(sandbox):
    if sandbox.strength is not Strength.BUBBLEWRAP:
        pytest.skip("files are hidden by bubblewrap alone")
    judgement = judge(MASK, LOOK.replace("THIS", __file__), sandbox, 7, LIMITS)
    assert "looked, simulator 0" in judgement.printed and "sees" not in judgement.printed, judgement


# ---- the course ------------------------------------------------------------------------------------------------------


def test_kernels_are_handed_out_as_cu_files(tmp_path):
    write_folder(tmp_path, [MASK], "tests", notebooks=True)
    text = (tmp_path / "08_kernels" / "mend_mask.cu").read_text(encoding="utf-8")
    assert text.startswith("// Mend a kernel") and "begin solution" not in text
    assert same_code(text, MASK.stub) and not same_code(text, MASK.solution)


@needs_compiler
def test_kernels_are_graded(sandbox, tmp_path):
    from minitorch_cv.course.grade import grade_handin

    _, teacher = release(tmp_path, [MASK], "tests", seed=11)
    course = Course.read(teacher)
    files = {"right": MASK.solution, "untouched": script(MASK, MASK.stub), "wrong": MASK.solution.replace("16", "8")}
    results = {
        name: grade_handin(course, Handin(name, {MASK.file: text.encode()}, []), sandbox, 0)
        for name, text in files.items()
    }
    status = {name: result.exercises[0].status for name, result in results.items()}
    assert status.pop("wrong") in ("partial", "wrong")  # as the sizes are drawn
    assert status == {"right": "full", "untouched": "not written"}


def test_without_a_compiler_nothing_is_judged(monkeypatch, tmp_path):
    monkeypatch.setenv("MINITORCH_CV_CXX", "no-such-compiler")
    write_folder(tmp_path, [MASK, find_exercise("receptive_field")], "tests")
    command = [sys.executable, "-m", "minitorch_cv", "course", "check", "mend_mask", "receptive_field"]
    done = subprocess.run([*command, "--folder", str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 2
    assert (
        "mend_mask: the simulator of CUDA kernels needs a C++ compiler" in done.stderr and "apt install" in done.stderr
    )
    assert "receptive_field" in done.stdout and "mend_mask" not in done.stdout


def test_without_a_compiler_grading_is_refused(monkeypatch):
    monkeypatch.setattr("minitorch_cv.course.language.compiler", _no_compiler)
    with pytest.raises(NotStarted, match="needs a C\\+\\+ compiler"):
        judge(MASK, MASK.solution, Sandbox.unconfined())


def _no_compiler():
    raise RuntimeError("the simulator of CUDA kernels needs a C++ compiler")
