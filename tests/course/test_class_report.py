"""The report on a class: right numbers, nothing but text of what students wrote, one file that asks for nothing."""

import math
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest

from minitorch_cv.course.class_report import class_report
from minitorch_cv.course.class_statistics import exercise_statistics, histogram
from minitorch_cv.course.results import CaseResult, ExerciseResult, StudentResult
from minitorch_cv.course.similarity import SimilarPair

HOSTILE = '</td><script>alert("1")</script><img src=x onerror=y>&amp;\'"\x00\x1b\udc80\u202e'

TITLES = (
    ("linear_backward", "Linear layer, backward", "00_backprop"),
    ("softmax_cross_entropy", "Softmax and cross entropy", "00_backprop"),
    ("relu_backward", "ReLU, backward", "01_alexnet"),
    ("conv2d_forward", "Convolution by loops", "01_alexnet"),
    ("conv2d_backward", "Convolution, backward", "01_alexnet"),
    ("max_pool_backward", "Max pooling, backward", "02_vgg"),
    ("inception_channels", "Channels of an Inception block", "03_inception"),
    ("batch_norm_forward", "Batch norm, forward", "04_resnet"),
    ("batch_norm_backward", "Batch norm, backward", "04_resnet"),
    ("residual_block", "A residual block", "04_resnet"),
    ("diffusion_loss", "The loss of a diffusion model", "05_diffusion"),
    ("kl_divergence", "KL divergence of Gaussians", "06_vae"),
    ("gan_losses", "Losses of a GAN", "07_gan"),
    ("mend_race", "Mend a race", "08_kernels"),
)

MISTAKES = (
    "dx: expects shape (4, 3), found (3, 4)",
    "db: 0.{} of its entries are off by a constant factor of 4: is the mean's 1/N missing?",
    "raises IndexError: index {} is out of bounds for axis 1",
    "dx: the sign is wrong",
)


def made_up_class(students=60, exercises=14, seed=0):
    rng = np.random.default_rng(seed)
    difficulty = rng.uniform(-1.5, 1.5, exercises)
    results = []
    for number in range(students):
        ability = rng.normal(0.7, 1.0)
        of_student = []
        for index in range(exercises):
            name, title, lesson = TITLES[index % len(TITLES)]
            name += "" if index < len(TITLES) else f"_{index // len(TITLES) + 1}"
            cases = tuple(
                CaseResult(case, bool(rng.random() < chance), 1.0, "" if case == "small" else "shape (2, 3, 5)")
                for case, chance in zip(
                    ("small", "strided", "float32", "a single row"),
                    1 / (1 + np.exp(-2.5 * (ability - difficulty[index] + np.array([0.8, 0.2, 0.0, -0.4])))),
                )
            )
            passed, points = sum(case.passed for case in cases), float(1 + index % 4)
            fate = rng.random()
            if fate < 0.05 - 0.02 * ability:
                status, cases = rng.choice(["not written", "not handed in"]), ()
            elif fate > 0.98:
                status = "ended"
            else:
                status = "full" if passed == 4 else "partial" if passed else "wrong"
            score = points * passed / 4 if status in ("full", "partial") else 0.0
            message = "" if status in ("full", "not written", "not handed in") else str(rng.choice(MISTAKES))
            message = message.format(rng.integers(2, 9))
            if status == "ended":
                message = "The run was ended after 10 seconds: is there a loop without an end?"
            result = ExerciseResult(
                name,
                "1",
                title,
                lesson,
                points,
                score,
                str(status),
                cases,
                message,
                "",
                f"{number}",
            )
            of_student.append(result)
        problems = ("Not read, for it is a link or a special file: 'conv2d.py'.",) if number % 17 == 3 else ()
        first = FIRST[number % len(FIRST)]
        results.append(
            StudentResult(
                f"{first} {LAST[number // len(FIRST) % len(LAST)]}",
                "Deep vision 1",
                f"{number:x}",
                tuple(of_student),
                problems,
            )
        )
    return results


FIRST = ("Ada", "Alan", "Grace", "Edsger", "Barbara", "Donald", "Frances", "Ken", "Radia", "Tim", "Zoë", "Łukasz")
LAST = ("Lovelace", "Hopper", "van der Meer", "O'Neill", "Nguyễn Thị Minh", "de la Cruz y García-Hernández", "李")


CLASS = made_up_class()
NAMES = [result.student for result in CLASS]
SIMILAR = [
    SimilarPair("conv2d_backward", (NAMES[3], NAMES[17]), "as written", 1.0, 55.0),
    SimilarPair("batch_norm_backward", (NAMES[5], NAMES[8]), "renamed", 0.93, 33.0),
    SimilarPair("batch_norm_backward", (NAMES[8], NAMES[22]), "renamed", 0.88, 30.0),
]


class Page(HTMLParser):
    """Holds that every element is closed in its order, and gathers what a test asks for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.attributes, self.sections = [], [], [], {}
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += [(tag, name, value) for name, value in attributes]
        if tag not in ("meta", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        self.open.pop()

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "style" not in self.open and data.strip():
            if self.open[-1] == "h2":
                self.sections[data] = []
            elif self.sections:
                self.sections[list(self.sections)[-1]].append(data.replace("\xa0", " "))


def test_the_report_is_whole_and_asks_for_nothing():
    text = class_report(CLASS, SIMILAR)
    page = Page(text)
    assert text.startswith("<!doctype html>") and list(page.sections) == [
        "Scores",
        "Exercises, the hardest first",
        "Near-identical hand-ins",
        "Hand-ins with problems",
        "Students",
    ]
    assert not {"script", "link", "img", "iframe", "form", "a", "object"} & set(page.tags)
    assert not re.search(r"https?:|//|url\(|@import", text)
    assert not [name for _, name, _ in page.attributes if name.startswith("on") or name in ("src", "href")]
    assert "default-src 'none'" in text
    assert "prefers-color-scheme:dark" in text and "width=device-width" in text


def test_the_same_class_in_another_order_makes_the_same_report():
    assert class_report(CLASS[::-1], SIMILAR) == class_report(CLASS, SIMILAR)


def test_what_students_write_is_nothing_but_text():
    case = CaseResult(HOSTILE, False, 1, HOSTILE)
    exercise = ExerciseResult(HOSTILE, "1", HOSTILE, HOSTILE, 1, 0, "wrong", (case,), HOSTILE, HOSTILE)
    results = [StudentResult(HOSTILE + str(n), HOSTILE, "", (exercise,), (HOSTILE,)) for n in range(2)]
    similar = [SimilarPair(HOSTILE, (HOSTILE + "0", HOSTILE + "1"), "renamed", 0.9, 20.0)]
    text = class_report(results, similar)
    page = Page(text)
    assert not {"script", "img"} & set(page.tags) and "<script" not in text
    assert not any(name.startswith("on") for _, name, _ in page.attributes)
    assert "\x00" not in text and text.encode("utf-8")


def test_the_sections_say_what_was_found():
    sections = Page(class_report(CLASS, SIMILAR)).sections
    similar = " ".join(sections["Near-identical hand-ins"])
    assert "100 % the same, as written" in similar and "88 % to 93 % the same, but for names" in similar
    for number in (3, 17, 5, 8, 22):
        assert NAMES[number] in similar
    problems = sections["Hand-ins with problems"]
    assert set(problems[::2]) == {result.student for result in CLASS if result.problems}
    students = sections["Students"]
    best = min(CLASS, key=lambda result: (-result.share, result.student))
    assert next(text for text in students if text in NAMES) == best.student
    assert sum(text in set(NAMES) for text in students) == len(CLASS)


@pytest.mark.parametrize("results", [[], [StudentResult("Ada", "Deep vision 1", "")]])
def test_a_class_of_next_to_nobody(results):
    page = Page(class_report(results))
    assert "h1" in page.tags


def test_a_large_class_is_written_at_once():
    text = class_report(made_up_class(300, 40))
    assert len(text) < 1_000_000


# The numbers.


def exercise(score, status, message="", cases=(), name="a"):
    return ExerciseResult(name, "1", "A", "00", 4, score, status, tuple(cases), message)


def class_of(*exercises):
    return [StudentResult(f"{number}", "c", "", (each,)) for number, each in enumerate(exercises)]


def test_statistics_of_an_exercise():
    small, wide = CaseResult("small", True, 1), CaseResult("wide", False, 1, "shape (3, 4)")
    results = class_of(
        exercise(4, "full", cases=[small, replace(wide, passed=True)]),
        exercise(2, "partial", "off by 4", [small, wide]),
        exercise(2, "partial", "off by 0.5", [small, wide]),
        exercise(0, "wrong", "", [replace(small, passed=False), wide]),
        exercise(0, "not written", "never mind"),
    )
    (found,) = exercise_statistics(results)
    assert found.students == 5 and found.mean_share == pytest.approx(0.4) and found.full_share == pytest.approx(0.2)
    assert found.statuses == {"full": 1, "partial": 2, "wrong": 1, "not written": 1}
    assert found.mistakes == (("off by 0.5", 2), ("the case small fails", 1))
    assert found.failed_cases == (("case 2 of 2, such as wide", 0.75), ("case 1 of 2, such as small", 0.25))
    assert math.isnan(found.discrimination)


def test_discrimination_is_the_correlation_with_the_others():
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 5, (40, 3)).astype(float)
    scores[:, 2] = 4 - scores[:, 1]
    results = [
        StudentResult(
            f"{number}", "c", "", tuple(exercise(score, "partial", name=name) for name, score in zip("abc", row))
        )
        for number, row in enumerate(scores)
    ]
    statistics = {each.exercise: each.discrimination for each in exercise_statistics(results)}
    assert statistics["b"] == pytest.approx(np.corrcoef(scores[:, 1], scores[:, 0] + scores[:, 2])[0, 1])
    assert statistics["b"] < -0.3 and math.isnan(statistics["a"])  # b and c sum to the same for all


def test_bins_of_the_histogram():
    assert histogram([0, 0.05, 0.1, 0.3, 3 * 0.1, 0.999, 1.0]) == [2, 1, 0, 2, 0, 0, 0, 0, 0, 2]
    assert histogram([k / 10 for k in range(11)]) == [1] * 9 + [2]
    assert histogram([]) == [0] * 10


def test_whoever_lacks_an_exercise_does_not_count_in_it():
    results = [*class_of(exercise(4, "full")), StudentResult("z", "c", "", (exercise(1, "partial", name="b"),))]
    assert [(each.exercise, each.students) for each in exercise_statistics(results)] == [("a", 1), ("b", 1)]
    Page(class_report(results))
