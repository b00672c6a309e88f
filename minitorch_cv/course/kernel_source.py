"""What the text of a kernel exercise may say: kernels, in the words of CUDA and in words of its own.

`refusal` tells an honest mistake in a sentence. `confined` is what is compiled: every word that is not CUDA's bears a
prefix, so that it means what the text itself declares, or nothing. The C library, Python and the simulator are there in
the process, but the text has no name for them.

What remains: a pointer that is calculated. Within a kernel the simulator ends the launch at such a load or store; a
call through one it does not see. The common forms of a pointer to a function are refused, not all that C++ has.
"""

from __future__ import annotations

import re

from minitorch_cv.kernels.signatures import without_comments

HEADERS = ("cuda_runtime.h", "cuda.h", "device_launch_parameters.h", "cassert", "assert.h", "device.h")
"""Those whose words the simulator has itself."""
DIRECTIVES = ("define", "undef", "if", "ifdef", "ifndef", "elif", "else", "endif", "pragma", "include")
PREFIX = "own_"

_KEYWORDS = """
alignas alignof auto bool break case char class const const_cast constexpr continue default defined do double else
unroll enum explicit extern false float for goto if inline int long
mutable noexcept nullptr operator private public register reinterpret_cast return short signed sizeof static
static_assert static_cast struct switch template this true typedef typename union unsigned using void volatile while
and or not xor bitand bitor compl and_eq or_eq xor_eq not_eq final override __VA_ARGS__
"""
_OF_CUDA = """
__global__ __device__ __host__ __constant__ __shared__ __forceinline__ __noinline__ __launch_bounds__ __align__
__restrict__ __restrict __inline__ __func__ __LINE__
float2 float4 int2 int4 uint2 uint4 make_float2 make_float4 make_int2 make_int4 make_uint2 make_uint4 x y z w
size_t ptrdiff_t int8_t int16_t int32_t int64_t uint8_t uint16_t uint32_t uint64_t uintptr_t intptr_t
threadIdx blockIdx blockDim gridDim warpSize DYN_SHARED
__syncthreads __syncwarp __threadfence __threadfence_block
__shfl_sync __shfl_down_sync __shfl_up_sync __shfl_xor_sync __ballot_sync __any_sync __all_sync
atomicAdd atomicSub atomicMax atomicMin atomicExch atomicCAS
cp_async16 cp_async_commit cp_async_wait mma_tf32 mma_bf16 to_tf32 to_bf16x2
__ldg __expf __logf __fdividef __fmaf_rn __uint_as_float __float_as_uint __int_as_float __float_as_int __popc __clz
__ffs __umulhi __builtin_trap assert printf memcpy memset
INFINITY NAN M_PI
min max abs fabs fabsf fmax fmaxf fmin fminf exp expf exp2 exp2f expm1 expm1f log logf log2 log2f log10 log10f log1p
log1pf sqrt sqrtf rsqrt rsqrtf cbrt cbrtf pow powf sin sinf cos cosf tan tanf asin asinf acos acosf atan atanf atan2
atan2f sinh sinhf cosh coshf tanh tanhf erf erff erfc erfcf floor floorf ceil ceilf round roundf rint rintf trunc truncf
fma fmaf fmod fmodf copysign copysignf hypot hypotf isnan isinf isfinite signbit
"""
WORDS = frozenset((_KEYWORDS + _OF_CUDA).split())
"""Those that keep their meaning."""

_TOKEN = re.compile(
    r"""
      (?P<directive> ^[ \t]*(?:\#|%:)[ \t]*(?P<name>\w*)[ \t]*(?P<rest>(?:\\[ \t]*\n|[^\n])*) )
    | (?P<raw> (?:u8|[uUL])?R" )
    | (?P<text> "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' )
    | (?P<number> \.?\d(?:[eEpP][+-]|'?[\w.])* )
    | (?P<word> [^\W\d]\w* )
    | (?P<other> \\[ \t]*\n | <<< | \#\# | ::[ \t]*\* | [^\s\w] )
    """,
    re.MULTILINE | re.VERBOSE,
)
_COMMENT = re.compile(
    r"""(?:u8|[uUL])?R" | "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | \.?\d(?:[eEpP][+-]|'?[\w.])* | [^\W\d]\w*
      | (?P<comment> //(?:\\[ \t]*\n|[^\n])* | /\*.*?(?:\*/|\Z) )""",
    re.DOTALL | re.VERBOSE,
)
_HEADER = re.compile(r'[<"](?:[\w.]+/)*([\w.]+)[>"]\s*$')
_REFUSED_WORDS = {
    **dict.fromkeys(("asm", "__asm", "__asm__"), "inline assembly"),
    **dict.fromkeys(("__attribute__", "__attribute", "__declspec"), "an attribute"),
    **dict.fromkeys(("new", "delete"), "memory of the host, `new` and `delete`"),
    **dict.fromkeys(("namespace", "friend", "virtual", "thread_local", "decltype", "typeid"), "`{}`"),
    **dict.fromkeys(("dynamic_cast", "throw", "try", "catch", "_Pragma"), "`{}`"),
    "std": "C++'s own library, `std`",
    "main": "host code",
}
_REFUSED_FORMS = {
    r"[\x00-\x08\x0b-\x1f\x7f]": "a character that nobody sees",
    r"\?\?[=/'()!<>-]": "a trigraph",
    r"<:|:>|<%|%>|%:": "a digraph",
    r"\[\s*\[": "an attribute, `[[`",
    r"\(\s*[*&]+\s*(?:const\b\s*)?\w*\s*\)\s*\(": "a pointer to a function",
    r"\bextern\b(?!\s*\"C\"\s+__global__\b)(?!\s*(?:(?:__align__|alignas)\s*\([^()]*\)\s*)?__shared__\b)": (
        '`extern` before something other than "C" __global__ or __shared__'
    ),
}
_SIMPLE_FORMAT = re.compile(r'\s*\(\s*("(?:[^"\\\n]|\\[nt"\\])*")\s*[,)]')


def refusal(text: str) -> str:
    """Why a text is not compiled at all, with the line; empty if it is."""
    code = _blanked(text)
    found = [(token.start(), what) for token in _TOKEN.finditer(code) if (what := _refused(token))]
    bare = _TOKEN.sub(lambda token: _blank(token.group()) if _is_text(token) else token.group(), code)
    for form, what in _REFUSED_FORMS.items():
        found += [(match.start(), what) for match in re.finditer(form, bare)]
    if not found:
        return ""
    start, what = min(found)
    line = code.count("\n", 0, start) + 1
    return f"line {line}: this exercise is to be solved with kernels alone; there is {what}"


def confined(text: str, kernels: frozenset[str]) -> str:
    """The text as it is compiled, line by line as it was: what is not CUDA's word is its own. kernels: as they are."""

    def renamed(token: re.Match[str]) -> str:
        if token["directive"] is not None:
            if token["name"] == "include":
                return _blank(token["directive"])
            head, rest = token.start("rest") - token.start(), token["rest"]
            return token.group()[:head] + _TOKEN.sub(renamed, rest)
        word = token["word"]
        return token.group() if word is None or word in WORDS or word in kernels else PREFIX + word

    return _TOKEN.sub(renamed, _blanked(text))


def as_written(text: str) -> str:
    """What a compiler or the simulator says of a confined text, in the words that were written."""
    return re.sub(rf"\b{PREFIX}(?=\w)", "", text)


def same_code(one: str, other: str) -> bool:
    """Whether two texts differ in comments and layout alone."""
    return without_comments(one).split() == without_comments(other).split()


def _blanked(text: str) -> str:
    """The text without comments: what the compiler does not see, it cannot read differently."""
    text = text.replace("\r\n", "\n")
    return _COMMENT.sub(lambda found: _blank(found.group()) if found["comment"] else found.group(), text)


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)


def _is_text(token: re.Match[str]) -> bool:
    return token["text"] is not None and token["text"] != '"C"'


def _refused(token: re.Match[str]) -> str:
    if token["word"]:
        return _refused_word(token)
    if token["raw"]:
        return "a raw string"
    if token["directive"] is not None:
        return _refused_directive(token["name"], token["rest"], token["directive"].strip())
    other = token["other"] or ""
    if other == "<<<":
        return "host code, <<<...>>>"
    if other == "##":
        return "`##`, which makes words that nobody reads"
    if other.startswith("::"):
        return "a pointer to a member"
    if other in ('"', "'"):
        return "a text without an end"
    if other.startswith("\\"):
        # A word must not go on behind the end of its line.
        before = token.string[: token.start()][-1:]
        return "" if other.endswith("\n") and before in ("", " ", "\t", "\n") else "a backslash that joins words"
    return f"`{other}`" if other in ("$", "@", "`") else ""


def _refused_word(token: re.Match[str]) -> str:
    word = token["word"]
    if word in WORDS:
        format = _SIMPLE_FORMAT.match(token.string, token.end()) if word == "printf" else None
        if word == "printf" and format is None:
            return "a printf whose format is not a plain text"
        if format and re.search(r"%[^%a-zA-Z]*[hlqjztL]*n", format[1].replace("%%", "")):
            return "a printf that writes, `%n`"
        return ""
    if what := _REFUSED_WORDS.get(word, ""):
        return what.format(word)
    if re.match(r"cuda[A-Z]", word):
        return "host code"
    return f"`{word}`, which no kernel needs here" if word.startswith("__") else ""


def _refused_directive(name: str, rest: str, directive: str) -> str:
    if name not in DIRECTIVES:
        return f"`{directive[:40].rstrip()}`"
    if name == "include":
        header = _HEADER.match(rest)
        if header is None or header[1] not in HEADERS:
            return f"`#include {rest[:40].rstrip()}`; all words of a kernel are there without it"
    if name == "pragma" and not re.match(r"unroll\b", rest):
        return f"`#pragma {rest[:40].rstrip()}`"
    if name in ("define", "undef") and (word := re.match(r"\w+", rest)) and word[0] in WORDS:
        return f"`#{name} {word[0]}`: CUDA's words stay what they are"
    if name == "include":
        return ""
    # The rest of the line holds words as well.
    return next((what for token in _TOKEN.finditer(rest) if (what := _refused(token))), "")
