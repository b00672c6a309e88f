"""What the text of a kernel may say: CUDA's words and its own, and no others."""

import re
from pathlib import Path

import pytest
from minitorch_cv.kernels.simulator.module import KernelError
from minitorch_cv.kernels.simulator.watched import WatchedModule

from minitorch_cv.course.exercise import all_exercises, find_exercise
from minitorch_cv.course.judge import judge
from minitorch_cv.course.kernel_source import WORDS, as_written, confined, refusal
from minitorch_cv.course.language import CUDA
from minitorch_cv.course.sandbox import Sandbox

OURS = [exercise for exercise in all_exercises() if exercise.language is CUDA]
LESSON = sorted((Path(__file__).parents[2] / "lessons" / "kernels").glob("*.cu"))
MASK = find_exercise("mend_mask")
needs_compiler = pytest.mark.skipif(bool(CUDA.missing()), reason=CUDA.missing() or "there is a compiler")


@pytest.mark.parametrize("exercise", OURS, ids=lambda exercise: exercise.name)
def test_our_own_texts_are_not_refused(exercise):
    for text in (exercise.solution, exercise.stub, *map(exercise.with_mistake, exercise.mistakes)):
        assert refusal(text) == ""


@pytest.mark.checkout
@pytest.mark.parametrize("path", LESSON, ids=lambda path: path.stem)
def test_the_lesson_s_kernels_are_not_refused(path):
    assert refusal(path.read_text(encoding="utf-8")) == ""


# ---- what students may write -----------------------------------------------------------------------------------------

HONEST = {
    "a template": """
template <int N, class T> __device__ __forceinline__ T total(const T (&values)[N]) {
    T sum = T(0);
#pragma unroll
    for (int i = 0; i < N; ++i) sum += values[i];
    return sum;
}
extern "C" __global__ void f(float* y) { float four[4] = {1, 2, 3, 4}; y[threadIdx.x] = total<4, float>(four); }
""",
    "a structure with functions and an operator": """
struct Pair {
    float largest, sum;
    __device__ Pair(float a = 0, float b = 0) : largest(a), sum(b) {}
    __device__ Pair operator+(const Pair& other) const { return Pair(fmaxf(largest, other.largest), sum + other.sum); }
    static constexpr int COUNT = 2;
};
extern "C" __global__ void f(float* y) { const Pair p = Pair(1, 2) + Pair(3, 4); y[threadIdx.x] = p.largest + p.sum; }
""",
    "lambdas and auto": """
extern "C" __global__ void f(float* y) {
    const int system = threadIdx.x;  // a name of theirs, whatever the C library has
    auto square = [=](float value) { return value * value; };
    auto store = [&](int i, auto what) { y[i] = what; };
    store(system, square(float(system)));
}
""",
    "macros, several lines and constants": """
#include <cuda_runtime.h>
#define TILE 32  // wide
#define FOR(i, n) for (int i = threadIdx.x; i < (n); \\
                       i += blockDim.x)
#ifndef PAD
#define PAD 1
#endif
#if TILE == 32
__constant__ float weights[3] = {0.25f, 0.5f, 0.25f};
#endif
static const int COUNT = 3;
constexpr int twice(int n) { return 2 * n; }
constexpr int SIZE = twice(TILE) + PAD;
enum { ROWS = 4 };
typedef float number;
using whole = unsigned int;
extern "C" __global__ void f(float* y) {
    number s = 0;
    FOR(i, COUNT) s += weights[i];
    y[threadIdx.x] = s + SIZE + ROWS;
}
""",
    "shared memory, shuffles and atomics": """
__device__ int counter;
__device__ float add_up(float value) {
    for (int half = warpSize / 2; half > 0; half >>= 1) value += __shfl_down_sync(0xffffffffu, value, half);
    return value;
}
extern "C" __global__ void __launch_bounds__(32) f(float* y) {
    __shared__ float parts[32];
    extern __shared__ float more[];
    parts[threadIdx.x] = add_up(1.0f);
    __syncthreads();
    atomicAdd(&counter, 1);
    const unsigned votes = __ballot_sync(~0u, parts[0] > 0);
    y[threadIdx.x] = threadIdx.x == 0 ? parts[0] + __popc(votes) : 0.0f;
}
""",
    "float4, copies in the background and arrays by reference": """
extern "C" __global__ void f(float* y) {
    __shared__ __align__(16) float tile[2][128];
    float (&row)[128] = tile[0];
    cp_async16(&tile[0][4 * threadIdx.x], &y[4 * threadIdx.x], true);
    cp_async_commit();
    cp_async_wait<0>();
    __syncthreads();
    float4 four = *reinterpret_cast<float4*>(&row[4 * threadIdx.x]);
    four = make_float4(four.x, four.y, expf(four.z), rsqrtf(four.w));
    *(float4*)(y + 4 * threadIdx.x) = four;
}
""",
    "what is printed and asserted, in every kind of number": """
extern "C" __global__ void f(float* y) {
    assert(threadIdx.x < 1'000);
    if (threadIdx.x == 0) printf("%d%% << <<< asm \\"%s\\"\\n", 1, "main");
    switch (threadIdx.x & 0x1f) { case 0: y[0] = 1e-3f; break; default: y[threadIdx.x] = 0x1p-2f; }
    do { y[threadIdx.x] += .5f; } while (false);
    /* std::vector, #include "x" */
}
""",
}


@needs_compiler
@pytest.mark.parametrize("what", HONEST)
def test_honest_kernels_compile_and_run(what, tmp_path):
    import numpy as np

    text = HONEST[what]
    assert refusal(text) == ""
    values = []
    for name, code in (("plain", text), ("confined", confined(text, frozenset({"f"})))):
        path = tmp_path / f"{name}.cu"
        path.write_text(code, encoding="utf-8")
        y = np.ones(128, np.float32)
        seen = WatchedModule(path).launch("f", (1,), (32,), [y], shared_bytes=128)
        assert not seen.findings
        values.append(y)
    np.testing.assert_array_equal(*values)


# ---- what was written to pass ----------------------------------------------------------------------------------------

REFUSED = [
    ('#include "/etc/passwd"', "#include"),
    ('/**/ # /**/ include "/etc/passwd"', "#include"),
    ('%: include "/etc/passwd"', "#include"),
    ('#inc\\\nlude "/etc/passwd"', "`#inc"),
    ('\f#include "/etc/passwd"', "a character that nobody sees"),
    ('#define F "/etc/passwd"\n#include F', "line 2: "),
    ('const char* a = "/*";\n#include "/etc/passwd"\nconst char* b = "*/";', "line 2: "),
    ("int a = 1'0+'/*';\n#include \"/etc/passwd\"\nint b = '*/';", "line 2: "),
    ("#include <cstdlib>", "#include"),
    ("#include_next <math.h>", "#include_next"),
    ("#pragma GCC poison x", "#pragma GCC"),
    ('_Pragma("GCC poison x")', "_Pragma"),
    ('void f() { asm(".incbin \\"/etc/passwd\\""); }', "inline assembly"),
    ("#define A asm\n", "inline assembly"),
    ("#define P(a, b) a ## b", "##"),
    ("#undef memcpy", "`#undef memcpy`"),
    ("#define __syncthreads() 0", "CUDA's words stay what they are"),
    ("__attribute__((constructor)) void f() {}", "an attribute"),
    ("[[gnu::constructor]] void f() {}", "an attribute"),
    ("<:<:gnu::constructor:>:> void f() {}", "a digraph"),
    ("int a??(3??);", "a trigraph"),
    ('as\\\nm("nop");', "a backslash that joins words"),
    ("sys\\ \ntem(0);", "a backslash that joins words"),
    ('extern "C" int system(const char*);', "`extern`"),
    ('extern "C" { int system(const char*); }', "`extern`"),
    ("extern int environ;", "`extern`"),
    ("int main() { return 0; }", "host code"),
    ("void f() { kernel<<<1, 2>>>(); }", "host code, <<<...>>>"),
    ("void f() { cudaMalloc(0, 1); }", "host code"),
    ('const char* s = R"(text)";', "a raw string"),
    ('const char* s = u8R"(text)";', "a raw string"),
    ("int* p = new int;", "memory of the host"),
    ("struct A { void* operator new(size_t); };", "memory of the host"),
    ("namespace std { }", "`namespace`"),
    ("auto f = std::move(1);", "std"),
    ("struct A { virtual void f(); };", "`virtual`"),
    ("void (*f)() = (void (*)())0x1234;", "a pointer to a function"),
    ("using F = decltype(g)*;", "`decltype`"),
    ("int A::*p = 0;", "a pointer to a member"),
    ("void f() { __builtin_return_address(0); }", "`__builtin_return_address`"),
    ("void f(char* s) { printf(s); }", "a printf whose format"),
    ('void f(int* p) { printf("%n", p); }', "a printf that writes"),
    ('void f(int* p) { printf("%" "n", p); }', "a printf whose format"),
    ('void f(int* p) { printf("%\\156", p); }', "a printf whose format"),
    ("#define P printf\nvoid f(char* s) { P(s); }", "a printf whose format"),
    ('const char* s = "no end;', "a text without an end"),
]


@pytest.mark.parametrize("text, what", REFUSED)
def test_what_is_no_kernel_is_refused_before_it_is_compiled(text, what):
    assert what in refusal(f"{MASK.solution}\n{text}") or what in refusal(text)


def test_a_refused_file_is_told_with_its_line():
    judgement = judge(MASK, "\nextern int environ;\n" + MASK.solution, Sandbox.unconfined())
    assert judgement.score == 0 and "line 2: this exercise is to be solved with kernels alone" in judgement.failure


OUTSIDE = [
    "system(0)",
    "fopen(0, 0)",
    "dlsym(0, 0)",
    "PyRun_SimpleString(0)",
    "getenv(0)",
    "abort()",
    "simulator::yield()",
]


@pytest.mark.parametrize("call", OUTSIDE)
def test_no_text_has_a_name_for_what_is_not_cuda_s(call):
    word = call.partition("(")[0].partition(":")[0]
    text = f"#define CALL {call}\nint {word}(const char*);\n__device__ void f() {{ auto p = &{word}; {call}; CALL; }}"
    code = confined(text, frozenset())
    assert not re.search(rf"\b{word}\b", code)
    assert as_written(code) == text


def test_a_text_keeps_its_lines_and_cuda_s_words():
    text = 'int a;  // of "it"\n/* b\n */ extern "C" __global__ void f(float* y) { y[threadIdx.x] = expf(\'a\'); }\n'
    code = confined(text, frozenset({"f"}))
    assert code.count("\n") == text.count("\n") and "own_a;" in code and "own_f" not in code
    assert {"threadIdx", "expf", "y", "__global__"} <= set(re.findall(r"\w+", code)) & (WORDS | {"f"})


EARLY = [
    "struct A { int a; A() { a = blockDim.x; } };\nstatic A early;",
    "struct A { int a; A() { a = blockDim.x; } };\n__device__ A early[2];",
    "struct A { ~A() { *(volatile int*)4096 = 1; } };\nA early;",
    "__device__ int g() { return blockDim.x; }\nint early = g();",
    "template <class T> struct B { static T early; };\nstruct A { int a; A() { a = blockDim.x; } };\n"
    "template <class T> T B<T>::early;\ntemplate struct B<A>;",
    "struct A { int a; A() { a = blockDim.x; } };\nstruct B { inline static A early; };",
    "auto early = [] { return blockDim.x; }();",
]


@needs_compiler
@pytest.mark.parametrize("text", EARLY)
def test_nothing_runs_before_a_launch(text, tmp_path):
    path = tmp_path / "early.cu"
    assert refusal(text) == ""
    path.write_text(confined(text, frozenset()), encoding="utf-8")
    with pytest.raises(KernelError, match="needs code to begin with"):
        WatchedModule(path)
