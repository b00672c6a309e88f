"""The report on a class, an HTML file for the teacher that holds all it shows: it asks for nothing and runs nothing."""

from __future__ import annotations

import html
import math
import statistics
from collections import Counter
from collections.abc import Iterable, Sequence

from ._text import points_text, readable
from .class_statistics import ExerciseStatistics, exercise_statistics, histogram
from .results import STATUSES, ExerciseResult, Status, StudentResult
from .similarity import SimilarPair, groups_of

_MOST_MISTAKES = 3
_MOST_CASES = 4


def class_report(results: Iterable[StudentResult], similar: Sequence[SimilarPair] = ()) -> str:
    """The report as HTML.

    results: of all students; similar: the pairs of near-identical hand-ins of all exercises.

    It shows the scores as a histogram, the exercises from the hardest on with their most frequent mistakes, every
    student by every exercise, the hand-ins with problems, and those that are nearly the same. It is the teacher's: it
    names students, and shows what only the teacher reads.
    """
    results = sorted(results, key=lambda result: (-result.share, result.student))
    exercises = exercise_statistics(results)
    course = results[0].course if results else "No hand-ins"
    sections = [
        _summary(results, exercises),
        _scores(results),
        _exercises(exercises),
        _similar(similar, {exercise.exercise: exercise.title for exercise in exercises}),
        _problems(results),
        _students(results, exercises),
    ]
    name, _, version = course.rpartition(" ") if results else (course, "", "")
    return _PAGE.format(
        title=_text(name),
        version=_text(version),
        style=_STYLE,
        body="\n".join(sections if results else ["<p>None.</p>"]),
    )


def _summary(results: Sequence[StudentResult], exercises: Sequence[ExerciseStatistics]) -> str:
    shares = [result.share for result in results] or [0.0]
    facts = [
        (str(len(results)), "hand-ins"),
        (str(len(exercises)), "exercises"),
        (points_text(max((result.points for result in results), default=0)), "points at most"),
        (_percent(statistics.mean(shares)), "mean score"),
        (_percent(statistics.median(shares)), "median score"),
        (str(sum(bool(result.problems) for result in results)), "with problems"),
    ]
    entries = "".join(f"<div><dt>{words}</dt><dd>{number}</dd></div>" for number, words in facts)
    return f"<dl class=facts>{entries}</dl>"


def _scores(results: Sequence[StudentResult]) -> str:
    """The histogram, as SVG drawn by hand."""
    shares = [result.share for result in results]
    counts = histogram(shares)
    width, height, left, top, step = 420, 170, 10, 22, 40
    tallest = max(counts) or 1
    parts = []
    for number, count in enumerate(counts):
        tall = count / tallest * (height - top)
        x, y = left + number * step, height - tall
        parts.append(f'<rect class=bar x="{x + 2}" y="{y:.1f}" width="{step - 4}" height="{tall:.1f}" rx="2"/>')
        if count:
            parts.append(f'<text x="{x + step / 2}" y="{y - 5:.1f}" text-anchor=middle>{count}</text>')
    for number in range(0, len(counts) + 1, 2):
        x = left + number * step
        parts.append(f'<text class=axis x="{x}" y="{height + 17}" text-anchor=middle>{number * 10} %</text>')
    median = left + statistics.median(shares) * len(counts) * step if shares else left
    parts.append(f'<path class=axis-line d="M{left} {height}H{left + len(counts) * step}"/>')
    parts.append(f'<path class=median d="M{median:.1f} {top - 14}V{height}"/>')
    drawing = "".join(parts)
    return (
        "<section><h2>Scores</h2><p class=note>Students by their share of all points; the dashed line is the median."
        f'</p><svg class=histogram viewBox="-8 0 {width + 26} {height + 24}" role=img '
        f'aria-label="Histogram of the scores">{drawing}</svg></section>'
    )


def _exercises(exercises: Sequence[ExerciseStatistics]) -> str:
    """From the hardest to the easiest."""
    legend = "".join(f"<span><i class={_CLASSES[status]}></i>{status}</span>" for status in STATUSES)
    entries = "".join(_exercise(each) for each in sorted(exercises, key=lambda each: (each.mean_share, each.title)))
    return (
        "<section><h2>Exercises, the hardest first</h2><p class=note>The bar shows how many students came to which "
        "result. Discrimination is the correlation with the score of all other exercises: near 0 or below, who does "
        "well elsewhere does no better here, and the exercise or its cases deserve a look.</p>"
        f"<p class=legend>{legend}</p><div class=exercises>{entries}</div></section>"
    )


def _exercise(exercise: ExerciseStatistics) -> str:
    segments = "".join(
        f'<i class={_CLASSES[status]} style="flex-grow:{count}" title="{status}: {count}">'
        f"{count if count >= 0.06 * exercise.students else ''}</i>"
        for status in STATUSES
        if (count := exercise.statuses.get(status, 0))
    )
    numbers = [f"<b>{_percent(exercise.mean_share)}</b> of the points", f"{_percent(exercise.full_share)} full"]
    if not math.isnan(exercise.discrimination):
        low = " class=low" if exercise.discrimination < 0.1 else ""
        numbers.append(f"<span{low}>discrimination {exercise.discrimination:.2f}</span>".replace("-", "−"))
    mistakes = "".join(
        f"<li><b>{count} ×</b> {_text(message)}</li>" for message, count in exercise.mistakes[:_MOST_MISTAKES]
    )
    cases = "".join(f"<li>{_text(name)}: {_percent(share)}</li>" for name, share in exercise.failed_cases[:_MOST_CASES])
    more = f"<ul>{mistakes}</ul>" if mistakes else ""
    more += f"<p class=note>Cases most often failed</p><ul class=note>{cases}</ul>" if cases else ""
    return (
        f"<article><h3>{_text(exercise.title)} <small>{_text(exercise.lesson)}</small></h3>"
        f"<p class=numbers>{' · '.join(numbers)}</p><div class=bar-of-statuses>{segments}</div>{more}</article>"
    )


def _similar(similar: Sequence[SimilarPair], titles: dict[str, str]) -> str:
    heading = "<section><h2>Near-identical hand-ins</h2>"
    if not similar:
        return f"{heading}<p>None was found.</p></section>"
    often = Counter(pair.students for pair in similar)
    rows = []
    for exercise in dict.fromkeys([*titles, *(pair.exercise for pair in similar)]):
        pairs = [pair for pair in similar if pair.exercise == exercise]
        for group in groups_of(pairs):
            of_group = [pair for pair in pairs if pair.students[0] in group]
            exercises = max(often[pair.students] for pair in of_group)
            least, most = (f(pair.similarity for pair in of_group) for f in (min, max))
            alike = _percent(most) if least == most else f"{_percent(least)} to {_percent(most)}"
            how = "as written" if all(pair.reading == "as written" for pair in of_group) else "but for names"
            names = "".join(f"<li>{_name(student)}</li>" for student in group)
            rows.append(
                f"<tr><td>{_text(titles.get(exercise, exercise))}</td><td><ul class=names>{names}</ul></td>"
                f"<td>{alike} the same, {how}</td><td class=number>{exercises}</td></tr>"
            )
    return (
        f"{heading}<p class=note>A reason to look at the files, not a verdict: students who were taught together write "
        "alike, and like the published solution, which counts as one of them. What the hand-out gives does not count, "
        "nor what many of the class wrote. The last column says in how many exercises two of the group "
        "are alike.</p><div class=scroll tabindex=0><table class=rows><thead><tr><th>exercise</th><th>students</th>"
        "<th>how alike</th><th>in exercises</th></tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _problems(results: Sequence[StudentResult]) -> str:
    rows = "".join(
        f"<tr><td>{_name(result.student)}</td><td>{'<br>'.join(map(_text, result.problems))}</td></tr>"
        for result in sorted(results, key=lambda result: result.student)
        if result.problems
    )
    body = (
        f"<div class=scroll tabindex=0><table class=rows><tbody>{rows}</tbody></table></div>"
        if rows
        else "<p>None.</p>"
    )
    return f"<section><h2>Hand-ins with problems</h2>{body}</section>"


def _students(results: Sequence[StudentResult], exercises: Sequence[ExerciseStatistics]) -> str:
    """Every student by every exercise, as a heat map."""
    columns = "".join(
        f"<th class=column title='{_text(exercise.exercise)}'><span>{_text(exercise.title)}</span></th>"
        for exercise in exercises
    )
    rows = []
    for result in results:
        by_name = {exercise.exercise: exercise for exercise in result.exercises}
        cells = "".join(_cell(by_name.get(exercise.exercise)) for exercise in exercises)
        rows.append(
            f"<tr><th scope=row>{_name(result.student)}</th><td class=number>{points_text(result.score)}</td>"
            f"<td class=number>{_percent(result.share)}</td>{cells}</tr>"
        )
    return (
        "<section><h2>Students</h2><p class=note>Points by exercise, the bluer the more of them. "
        "<b>–</b> not written, <b>·</b> not handed in, <b>×</b> ended at a limit of time or memory.</p>"
        "<div class=scroll tabindex=0><table class=heat><thead><tr><th scope=col>student</th>"
        f"<th class=column><span>points</span></th><th class=column><span>share</span></th>{columns}</tr></thead>"
        f"<tbody>{''.join(rows)}</tbody></table></div></section>"
    )


def _cell(exercise: ExerciseResult | None) -> str:
    if exercise is None:
        return "<td></td>"
    if exercise.status in _SIGNS and not exercise.score:
        return f"<td class={_CLASSES[exercise.status]}>{_SIGNS[exercise.status]}</td>"
    # Ten shades: a class is shorter than a colour, and the file has a cell for each student and exercise.
    shade = f"s{math.floor(exercise.share * 10 + 1e-9)}"
    return f"<td class={shade}>{points_text(round(exercise.score, 1))}</td>"


_CLASSES: dict[Status, str] = {
    "full": "full",
    "partial": "partial",
    "wrong": "wrong",
    "ended": "ended",
    "not written": "unwritten",
    "not handed in": "absent",
}
_SIGNS: dict[Status, str] = {"ended": "×", "not written": "–", "not handed in": "·"}


def _percent(share: float) -> str:
    """Rounded, but 0 and 100 only where it is nothing and all."""
    percent = round(100 * share)
    return f"{percent if share in (0, 1) else min(99, max(1, percent))}&nbsp;%"


def _text(text: str) -> str:
    """A student's or an author's text as HTML that is nothing but text."""
    return html.escape(readable(text))


def _name(student: str) -> str:
    """A name, isolated: characters in it that turn the direction of writing end with it."""
    return f"<bdi>{_text(student)}</bdi>"


# Colours of Okabe and Ito, which differ for the colour-blind too; shades are blue over whatever the page is.
_SHADES = "\n".join(
    f".s{n}{{background:rgb(var(--blue)/{0.04 + 0.093 * n:.2f}){';color:#fff' if n > 8 else ''}}}" for n in range(11)
)
_STYLE = (
    """
:root{color-scheme:light dark;--paper:#fff;--ink:#1c2733;--faint:#5c6b7a;--line:#dde3e9;--card:#f6f8fa;
--blue:0 114 178;--sky:#7cc4ee;--orange:#e69f00;--red:#d55e00;--grey:#aab4be;--pale:#dfe4e9;
--on-sky:#0b2233;--on-grey:#12181e}
@media(prefers-color-scheme:dark){:root{--paper:#14191f;--ink:#e3e8ed;--faint:#9aa7b4;--line:#2d3742;--card:#1b222a;
--blue:32 116 178;--sky:#3a6a8c;--orange:#c98b00;--red:#d9662a;--grey:#5d6873;--pale:#343e48;
--on-sky:#fff;--on-grey:#fff}}
*{box-sizing:border-box}
body{margin:0 auto;padding:1.5rem 1rem 4rem;max-width:72rem;background:var(--paper);color:var(--ink);
font:16px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,sans-serif}
h1{font-size:1.7rem;line-height:1.2;margin:.2rem 0 1rem}
h2{font-size:1.25rem;margin:2.4rem 0 .4rem}
h3{font-size:1rem;margin:0}
h3 small{color:var(--faint);font-weight:400;margin-left:.4em}
.note,.numbers,.legend{color:var(--faint);font-size:.875rem;margin:.2rem 0 .6rem;max-width:46rem}
.numbers b{color:var(--ink)}
.low{color:var(--red);font-weight:600}
.facts{display:grid;grid-template-columns:repeat(auto-fit,minmax(8.5rem,1fr));gap:.6rem;margin:0}
.facts div{display:flex;flex-direction:column-reverse;background:var(--card);border:1px solid var(--line);
border-radius:8px;padding:.6rem .8rem}
.facts dd{margin:0;font-size:1.5rem;font-weight:600;font-variant-numeric:tabular-nums}
.facts dt{color:var(--faint);font-size:.8rem}
.histogram{display:block;width:100%;max-width:40rem;overflow:visible}
.histogram text{font-size:11px;fill:var(--ink)}
.histogram .axis{fill:var(--faint)}
.histogram .bar{fill:rgb(var(--blue))}
.axis-line{stroke:var(--faint);fill:none}
.median{stroke:var(--ink);stroke-dasharray:4 3;fill:none}
.legend{display:flex;flex-wrap:wrap;gap:.2rem 1rem}
.legend i{display:inline-block;width:.8em;height:.8em;border-radius:2px;margin-right:.4em}
.exercises{display:grid;grid-template-columns:repeat(auto-fit,minmax(min(100%,26rem),1fr));gap:0 2.5rem}
article{border-top:1px solid var(--line);padding:.9rem 0 .5rem}
article ul{margin:.5rem 0;padding-left:1.1rem;font-size:.875rem;overflow-wrap:anywhere}
article .note{margin-bottom:.3rem}
.bar-of-statuses{display:flex;height:1.35rem;border-radius:4px;overflow:hidden}
.bar-of-statuses i{flex-basis:0;font:600 .75rem/1.35rem inherit;font-style:normal;font-size:.75rem;
line-height:1.35rem;text-align:center;overflow:hidden;min-width:3px}
.full{background:rgb(var(--blue));color:#fff}
.partial{background:var(--sky);color:var(--on-sky)}
.wrong{background:var(--orange);color:#2b1d00}
.ended{background:var(--red);color:#1f0d00}
.unwritten{background:var(--grey);color:var(--on-grey)}
.absent{background:var(--pale);color:var(--ink)}
.scroll{overflow-x:auto;max-width:100%}
table{border-collapse:collapse;font-size:.875rem}
.rows td,.rows th{border-top:1px solid var(--line);padding:.4rem 1rem .4rem 0;text-align:left;vertical-align:top}
.rows td:nth-child(3){min-width:10rem}
.rows thead th{border:0;color:var(--faint);font-weight:400}
.names{list-style:none;margin:0;padding:0;white-space:nowrap}
.number{text-align:right!important;font-variant-numeric:tabular-nums;white-space:nowrap}
.heat td,.heat th{padding:.15rem .3rem;border:1px solid var(--paper)}
.heat td{min-width:2rem;text-align:center;font-size:.8rem;font-variant-numeric:tabular-nums}
.heat th{font-weight:400;text-align:left}
.heat tbody th,.heat thead th:first-child{position:sticky;left:0;background:var(--paper);z-index:1;min-width:11rem;
max-width:15rem;padding-right:.8rem;overflow-wrap:anywhere}
.heat thead th{vertical-align:bottom;color:var(--faint)}
.heat td.number{padding-right:.6rem}
.column span{writing-mode:vertical-rl;transform:rotate(180deg);max-height:11rem;line-height:1.1}
@media(max-width:40rem){body{padding:1rem .75rem 3rem}.heat tbody th,.heat thead th:first-child{min-width:7.5rem;
max-width:7.5rem}}
@media print{body{max-width:none}article,tr{break-inside:avoid}.scroll{overflow:visible}
*{print-color-adjust:exact;-webkit-print-color-adjust:exact}}
"""
    + _SHADES
)

_PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="referrer" content="no-referrer">
<title>{title}: class report</title>
<style>{style}</style>
</head>
<body>
<main>
<h1>{title} <small>{version}</small></h1>
{body}
</main>
</body>
</html>
"""
