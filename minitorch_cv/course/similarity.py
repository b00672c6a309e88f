"""Finds near-identical hand-ins of one exercise: a reason to look at two files, never a proof.

A file is read in two ways, without the lines of the hand-out: as it is written, with names and comments; and renamed,
where of a name remains only how many tokens ago it was last used (Baker 1993) and of comments and layout nothing. Of
the hashes of all runs of `RUN` tokens winnowing keeps the least in each window of `WINDOW`: two files that share
`RUN + WINDOW - 1` tokens in a row share one of these fingerprints (Schleimer, Wilkerson and Aiken 2003).

A short exercise has few solutions, and honest ones are alike. So a pair is named only where in one of the readings
what they share is nearly all that they have (`LEAST_SIMILARITY`) and is more than chance gives (`LEAST_EVIDENCE`), in
which a fingerprint counts for as much as it is rare: 1 where only two of the class have it, 0 where all do; and only
where there was room to differ at all (`LEAST_TOKENS`). tests/course/test_similarity.py holds these bounds against
made-up classes of honest students: a pair is named in one class of ten, and of copies with every name kept nearly all
are. A copy that was renamed throughout is named only where its way is rare; where many of the class go the same way it
looks like honest work, and is taken for that.
"""

from __future__ import annotations

import builtins
import hashlib
import io
import keyword
import math
import re
import tokenize
from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

Language = Literal["python", "cuda"]
Reading = Literal["as written", "renamed"]

RUN = 7
WINDOW = 4
LEAST_TOKENS = 60
"""Of the student's own. The gradients of a linear layer, three lines, come to 40 at most."""
LEAST_SIMILARITY = 0.8
"""The fingerprints that both have, of those that either has."""
LEAST_EVIDENCE = 20.0
"""In fingerprints that nobody else has, about 50 tokens; of those that several have it takes more."""

_MOST_CHARACTERS = 2**16
"""Longer files are compared by their beginning: no solution comes near."""


@dataclass(frozen=True)
class SimilarPair:
    """Two hand-ins of an exercise that are nearly the same."""

    exercise: str
    students: tuple[str, str]
    reading: Reading
    """Whether they are alike as they are written, or but for names and comments."""
    similarity: float
    """The share of fingerprints that both have, 0 .. 1."""
    evidence: float
    """How much they share, in fingerprints that nobody else has."""


def similar_handins(
    exercise: str, files: Mapping[str, bytes], handout: bytes = b"", language: Language = "python"
) -> list[SimilarPair]:
    """The pairs of near-identical files, each once, the most similar first.

    files: student -> the file that was handed in; handout: the file that all began with, whose lines do not count.
    Raises: ValueError for another language. Never for what a file holds: as much of it is compared as can be read.
    """
    if language not in _WORDS:
        raise ValueError(f"similar_handins: language expects one of {', '.join(_WORDS)}; it is {language!r}")
    handout_lines = list(_lines(handout, language))
    prints: dict[Reading, list[set[int]]] = {"as written": [], "renamed": []}
    students = []
    for student in sorted(files):
        own = _own_lines(_lines(files[student], language), handout_lines, language)
        renamed = _renamed(own, language)
        if len(renamed) >= LEAST_TOKENS:
            students.append(student)
            prints["as written"].append(fingerprints(_as_written(own)))
            prints["renamed"].append(fingerprints(renamed))
    pairs: dict[tuple[str, str], SimilarPair] = {}
    for reading, marks in prints.items():
        similarity, evidence = _compare(marks)
        for a, b in np.argwhere(np.triu((similarity >= LEAST_SIMILARITY) & (evidence >= LEAST_EVIDENCE), k=1)):
            both = students[a], students[b]
            share, rare = round(float(similarity[a, b]), 3), round(float(evidence[a, b]), 1)
            pairs.setdefault(both, SimilarPair(exercise, both, reading, share, rare))
    return sorted(pairs.values(), key=lambda pair: (-pair.similarity, pair.students))


def groups_of(pairs: Sequence[SimilarPair]) -> list[tuple[str, ...]]:
    """The students of the pairs in groups: whoever is similar to one of a group belongs to it; largest first."""
    group_of: dict[str, set[str]] = {}
    for pair in pairs:
        a, b = (group_of.setdefault(student, {student}) for student in pair.students)
        if a is not b:
            a |= b
            group_of.update(dict.fromkeys(b, a))
    groups = {tuple(sorted(group)) for group in group_of.values()}
    return sorted(groups, key=lambda group: (-len(group), group))


def fingerprints(tokens: Sequence[str]) -> set[int]:
    """The winnowed hashes of all runs of tokens."""
    hashes = [
        int.from_bytes(hashlib.blake2b(" ".join(tokens[at : at + RUN]).encode(), digest_size=8).digest(), "big")
        for at in range(len(tokens) - RUN + 1)
    ]
    return {min(hashes[at : at + WINDOW]) for at in range(max(1, len(hashes) - WINDOW + 1)) if hashes}


def _compare(prints: Sequence[set[int]]) -> tuple[np.ndarray, np.ndarray]:
    """How similar every two are, and how much rare they share, both (n, n)."""
    count = len(prints)
    if count < 2:
        return np.zeros((count, count)), np.zeros((count, count))
    holders = Counter(mark for marks in prints for mark in marks)
    column = {mark: index for index, mark in enumerate(sorted(mark for mark, n in holders.items() if n > 1))}
    has = np.zeros((count, len(column)))
    for row, marks in enumerate(prints):
        has[row, [column[mark] for mark in marks if mark in column]] = 1
    both = has @ has.T
    sizes = np.array([len(marks) for marks in prints])
    weights = np.log((count + 1) / np.maximum(has.sum(axis=0), 2)) / math.log((count + 1) / 2)
    return both / np.maximum(sizes[:, None] + sizes - both, 1), (has * weights) @ has.T


# A token is its kind and text.
_Token = tuple[str, str]
_Line = list[_Token]


def _lines(source: bytes, language: Language) -> Iterator[_Line]:
    text = source.decode("utf-8", "replace")[:_MOST_CHARACTERS]
    yield from (_python_lines(text) if language == "python" else _cuda_lines(text))


def _own_lines(lines: Iterable[_Line], handout: Iterable[_Line], language: Language) -> list[_Line]:
    """The lines and comments that are not the hand-out's; lines whatever they call things."""
    given = {_without_names(line, language) for line in handout} - {()}
    comments = {token for line in handout for token in line if token[0] == "comment"}
    own = ([token for token in line if token not in comments] for line in lines)
    return [line for line in own if line and _without_names(line, language) not in given]


def _without_names(line: _Line, language: Language) -> tuple[str, ...]:
    """The line with every name and string alike; comments do not count."""
    words = _WORDS[language]
    return tuple(
        kind if kind in ("name", "string") and text not in words else text for kind, text in line if kind != "comment"
    )


def _as_written(lines: Iterable[_Line]) -> list[str]:
    """All that stands there; of comments each word."""
    return [part for line in lines for kind, text in line for part in (text.split() if kind == "comment" else (text,))]


def _renamed(lines: Iterable[_Line], language: Language) -> list[str]:
    """What remains where everything has another name and no comment: of a name how many tokens ago it was used."""
    tokens: list[str] = []
    last_use: dict[str, int] = {}
    for line in lines:
        for kind, text in line:
            if kind == "name" and text not in _WORDS[language]:
                ago = len(tokens) - last_use.get(text, -RUN)
                last_use[text] = len(tokens)
                # Beyond the length of a run it would only tell of the code in between.
                tokens.append(f"name{ago}" if ago < RUN else "name")
            elif kind != "comment":
                tokens.append(kind if kind == "string" else text)
    return tokens


_PYTHON_WORDS = {*keyword.kwlist, *dir(builtins)}
_KINDS = {tokenize.NAME: "name", tokenize.STRING: "string", tokenize.COMMENT: "comment"}
_IGNORED = {tokenize.NL, tokenize.INDENT, tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER}


def _python_lines(text: str) -> Iterator[list[_Token]]:
    """The logical lines; docstrings are comments."""
    line: list[_Token] = []
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            if token.type == tokenize.NEWLINE:
                if any(kind not in ("string", "comment") for kind, _ in line):
                    yield line
                line = []
            elif token.type not in _IGNORED:
                kind = _KINDS.get(token.type, "other")
                line.append(("member" if kind == "name" and line and line[-1][1] == "." else kind, token.string))
    except (tokenize.TokenError, SyntaxError):
        pass  # the rest cannot be read
    if line:
        yield line


_CUDA_WORDS = set(
    """
    alignas auto bool break case char class const constexpr continue default do double else enum extern false float for
    goto if inline int long namespace nullptr operator private public register restrict return short signed sizeof
    static struct switch template this true typedef typename union unsigned using void volatile while
    __constant__ __device__ __forceinline__ __global__ __host__ __launch_bounds__ __restrict__ __shared__
    __syncthreads __syncwarp __threadfence __shfl_down_sync __shfl_xor_sync __shfl_sync __ldg
    atomicAdd atomicMax atomicMin atomicCAS atomicExch threadIdx blockIdx blockDim gridDim warpSize
    float2 float4 int2 int4 dim3 size_t uint32_t int32_t uint64_t int64_t half half2
    fmaxf fminf expf logf sqrtf rsqrtf tanhf fabsf powf max min include define pragma unroll ifdef ifndef endif
    """.split()
)
_WORDS: Mapping[Language, Container[str]] = {"python": _PYTHON_WORDS, "cuda": _CUDA_WORDS}
_CUDA_TOKEN = re.compile(
    r"""
    (?P<comment> //[^\n]* | /\*.*?(?:\*/|\Z))
  | (?P<string> "(?:\\.|[^"\\\n])*"? | '(?:\\.|[^'\\\n])*'?)
  | (?P<name> [^\W\d]\w*)
  | (?P<number> \.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<newline> \n)
  | (?P<other> <<<|>>>|->|\+\+|--|[-+*/%&|^<>=!]=|&&|\|\||<<|>>|::|\S)
    """,
    re.VERBOSE | re.DOTALL,
)


def _cuda_lines(text: str) -> Iterator[list[_Token]]:
    line: list[_Token] = []
    for match in _CUDA_TOKEN.finditer(text):
        kind = match.lastgroup or "other"
        if kind == "newline":
            if line:
                yield line
            line = []
        else:
            line.append(("member" if kind == "name" and line and line[-1][1] in (".", "->") else kind, match[0]))
    if line:
        yield line
