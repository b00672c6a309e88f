"""Exercises in CUDA: kernels are compiled and launched in the student's process, whatever else their file does."""

import subprocess
import sys

import pytest

from minitorch_cv.course.exercise import all_exercises, find_exercise
from minitorch_cv.course.grade import LIMITS, grade
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


# ---- kernels that are right, and do without what the exercise teaches ------------------------------------------------

ONE_THREAD = """
extern "C" __global__ void __launch_bounds__(128) softmax(const float* x, float* y, int columns) {
    if (threadIdx.x) return;
    const float* row = x + blockIdx.x * columns;
    float largest = -INFINITY, sum = 0;
    for (int c = 0; c < columns; ++c) largest = fmaxf(largest, row[c]);
    for (int c = 0; c < columns; ++c) sum += expf(row[c] - largest);
    for (int c = 0; c < columns; ++c) y[blockIdx.x * columns + c] = expf(row[c] - largest) / sum;
}
"""
ONE_LANE = """
extern "C" __global__ void __launch_bounds__(128) average_pool(const float* x, float* y, int planes, int pixels) {
    const int plane = blockIdx.x * 4 + threadIdx.x / 32;
    if (plane >= planes || threadIdx.x % 32) return;
    float sum = 0;
    for (int i = 0; i < pixels; ++i) sum += x[plane * pixels + i];
    y[plane] = sum / pixels;
}
"""
THROUGH_SHARED_MEMORY = """
extern "C" __global__ void __launch_bounds__(128) average_pool(const float* x, float* y, int planes, int pixels) {
    __shared__ float part[128];
    const int t = threadIdx.x, plane = blockIdx.x * 4 + t / 32, lane = t % 32;
    part[t] = 0;
    for (int i = lane; i < pixels && plane < planes; i += 32) part[t] += x[plane * pixels + i];
    for (int half = 16; half > 0; half /= 2) {
        __syncthreads();
        if (lane < half) part[t] += part[t + half];
    }
    if (lane == 0 && plane < planes) y[plane] = part[t] / pixels;
}
"""
SCALAR = find_exercise("mend_alignment").solution.replace("start % 4 == 0 ? columns / 4 : 0", "0")


@needs_compiler
@pytest.mark.parametrize(
    "name, text, lacking",
    [
        ("mend_race", ONE_THREAD, "all threads of a block are to take part"),
        ("mend_mask", ONE_LANE, "all threads of a block are to take part"),
        ("mend_mask", THROUGH_SHARED_MEMORY, "it uses shared memory, which this exercise does without"),
        ("mend_alignment", SCALAR, "in accesses of 16 bytes"),
    ],
)
def test_a_kernel_works_as_the_exercise_teaches(name, text, lacking):
    judgement = judge(find_exercise(name), text, Sandbox.unconfined(), 5)
    assert judgement.score == 0 and not judgement.hints
    for case in judgement.cases:
        assert case.verdict.message.startswith("its results are right, but ") and lacking in case.verdict.message, case


PEELED = """
extern "C" __global__ void __launch_bounds__(64)
relu_backward(const float* x, const float* dy, float* dx, int columns) {
    const int t = threadIdx.x, start = blockIdx.x * columns;
    const int head = (4 - start % 4) % 4, fours = (columns - head) / 4;
    if (t < head) dx[start + t] = x[start + t] > 0.0f ? dy[start + t] : 0.0f;
    for (int i = t; i < fours; i += 64) {
        const int at = start + head + 4 * i;
        const float4 a = *(const float4*)(x + at), b = *(const float4*)(dy + at);
        *(float4*)(dx + at) = make_float4(a.x > 0 ? b.x : 0, a.y > 0 ? b.y : 0, a.z > 0 ? b.z : 0, a.w > 0 ? b.w : 0);
    }
    const int c = head + 4 * fours + t;
    if (c < columns) dx[start + c] = x[start + c] > 0.0f ? dy[start + c] : 0.0f;
}
"""
BY_SHUFFLES = """
__device__ float joined(float value, bool is_sum) {
    for (int bits = 16; bits > 0; bits /= 2) {
        const float other = __shfl_xor_sync(0xffffffffu, value, bits);
        value = is_sum ? value + other : fmaxf(value, other);
    }
    return value;
}
extern "C" __global__ void __launch_bounds__(128) softmax(const float* x, float* y, int columns) {
    __shared__ float largests[4], sums[4];
    const int t = threadIdx.x;
    const float* row = x + blockIdx.x * columns;
    float largest = -INFINITY, sum = 0.0f;
    for (int c = t; c < columns; c += 128) largest = fmaxf(largest, row[c]);
    largest = joined(largest, false);
    if (t % 32 == 0) largests[t / 32] = largest;
    __syncthreads();
    largest = fmaxf(fmaxf(largests[0], largests[1]), fmaxf(largests[2], largests[3]));
    for (int c = t; c < columns; c += 128) sum += expf(row[c] - largest);
    sum = joined(sum, true);
    if (t % 32 == 0) sums[t / 32] = sum;
    __syncthreads();
    sum = sums[0] + sums[1] + sums[2] + sums[3];
    for (int c = t; c < columns; c += 128) y[blockIdx.x * columns + c] = expf(row[c] - largest) / sum;
}
"""


@needs_compiler
@pytest.mark.parametrize("name, text", [("mend_alignment", PEELED), ("mend_race", BY_SHUFFLES)])
def test_another_way_is_right_as_well(name, text):
    for seed in (5, 6):
        judgement = judge(find_exercise(name), text, Sandbox.unconfined(), seed)
        assert judgement.is_full, judgement


# ---- what is there to be found ---------------------------------------------------------------------------------------

LOOK = r"""
extern "C" int access(const char*, int);
extern "C" __global__ void average_pool(const float* x, float* y, int planes, int pixels) {
    if (threadIdx.x || blockIdx.x) return;
    for (const char* path : {"/packages/minitorch_cv/course", "/packages/minitorch_cv/__init__.py", "/etc/passwd",
                             "/packages/minitorch_cv/kernels/cuda", "/home", "/work", "/proc/1", "THIS"})
        if (access(path, 0) == 0) printf("sees %s\n", path);
    printf("looked, simulator %d\n", access("/packages/minitorch_cv/kernels/simulator/cuda.h", 0));
}
"""


@needs_compiler
def test_the_simulator_is_all_that_is_there_of_the_package(sandbox, monkeypatch):
    """Were a text to have a name for the C library after all."""
    monkeypatch.setattr("minitorch_cv.course.judge.refusal", lambda text: "")
    monkeypatch.setattr("minitorch_cv.course.judge.confined", lambda text, kernels: text)
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


def test_without_a_compiler_the_other_exercises_are_graded_and_nothing_is_kept(monkeypatch, sandbox, tmp_path):
    other = find_exercise("receptive_field")
    _, teacher = release(tmp_path / "course", [MASK, other], "tests", seed=11)
    (tmp_path / "ada").mkdir()
    for exercise in (MASK, other):
        (tmp_path / "ada" / exercise.file).write_text(exercise.solution, encoding="utf-8")

    def graded():
        [one] = grade(teacher, [tmp_path / "ada"], tmp_path / "results", 1, sandbox)
        return one

    with monkeypatch.context() as without:
        without.setenv("MINITORCH_CV_CXX", "no-such-compiler")  # the workers' processes have it too
        first = graded()
    by_name = {result.exercise: result for result in first.result.exercises}
    assert by_name["receptive_field"].status == "full"
    assert by_name["mend_mask"].message.startswith("Not graded, by no fault of the file: the simulator of CUDA kernels")
    if not CUDA.missing():
        again = graded()
        assert again.fresh and all(result.status == "full" for result in again.result.exercises)
        assert not graded().fresh


def _no_compiler():
    raise RuntimeError("the simulator of CUDA kernels needs a C++ compiler")
