"""Results in the formats of others: CSV, Gradescope, PrairieLearn, JUnit."""

import csv
import io
import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest

from minitorch_cv.course.gradebook import gradebook
from minitorch_cv.course.gradescope import gradescope_results
from minitorch_cv.course.junit import junit_xml
from minitorch_cv.course.prairielearn import prairielearn_results
from minitorch_cv.course.results import CaseResult, ExerciseResult, StudentResult

SECRET = "the hidden case is (7, 1)"
HOSTILE = '<script>"&\x00\x1b\udc80]]>'
CASES = (CaseResult("small", True, 1), CaseResult(HOSTILE, False, 2, HOSTILE))
EXERCISES = (
    ExerciseResult("linear", "1", "Linear", "00", 3, 3, "full", CASES[:1]),
    ExerciseResult("conv", "1", "Conv", "01", 4, 4 / 3, "partial", CASES, HOSTILE, SECRET),
    ExerciseResult("norm", "1", "Norm", "02", 2, 0, "ended", CASES[1:], "after 10 s", SECRET),
    ExerciseResult("pool", "1", "Pool", "02", 1, 0, "not handed in"),
    ExerciseResult("relu", "1", "ReLU", "02", 1, 0, "wrong", (), "raises", SECRET),
)
RESULT = StudentResult(HOSTILE, "vision 1", "ab", EXERCISES, (HOSTILE,))
ABSENT = StudentResult("Ada", "vision 1", "cd", (EXERCISES[3],))
WRITERS = [gradescope_results, prairielearn_results, junit_xml, lambda result: gradebook([result])]


@pytest.mark.parametrize("write", WRITERS)
def test_any_text_can_be_written_and_nothing_of_the_teacher_s(write):
    text = write(RESULT)
    assert text.encode("utf-8").decode("utf-8") == text and text.endswith("\n")
    assert SECRET not in text and "\x00" not in text and "\x1b" not in text
    assert write(RESULT) == text
    assert write(StudentResult("nobody", "vision 1", ""))


# Gradescope: the keys and values that its specification names.

GRADESCOPE_TEST = {
    "score": (int, float),
    "max_score": (int, float),
    "status": str,
    "name": str,
    "name_format": str,
    "number": str,
    "output": str,
    "output_format": str,
    "tags": list,
    "visibility": str,
    "extra_data": dict,
}
GRADESCOPE = {
    "score": (int, float),
    "execution_time": (int, float),
    "output": str,
    "output_format": str,
    "test_output_format": str,
    "test_name_format": str,
    "visibility": str,
    "stdout_visibility": str,
    "extra_data": dict,
    "tests": list,
    "leaderboard": list,
}


def expect(document, keys, required):
    assert set(required) <= set(document) <= set(keys)
    for key, value in document.items():
        assert isinstance(value, keys[key]), key


def test_gradescope():
    document = json.loads(gradescope_results(RESULT, "after_published"))
    expect(document, GRADESCOPE, ("score", "tests", "stdout_visibility"))
    assert document["stdout_visibility"] == "hidden"
    for test, exercise in zip(document["tests"], EXERCISES, strict=True):
        expect(test, GRADESCOPE_TEST, ("score", "max_score", "name", "output", "visibility"))
        assert (test["score"], test["max_score"]) == (exercise.score, exercise.points)
        assert test["visibility"] == "after_published" and test["status"] in ("passed", "failed")
        assert test["output_format"] in ("text", "html", "simple_format", "md", "ansi")
    assert document["score"] == pytest.approx(sum(test["score"] for test in document["tests"]))
    assert document["tests"][0]["output"] == "Every case passes.\npass  small"


def test_gradescope_knows_four_visibilities():
    with pytest.raises(ValueError, match=r"visibility expects one of visible, .*; it is 'secret'"):
        gradescope_results(RESULT, "secret")


# PrairieLearn.


def test_prairielearn():
    document = json.loads(prairielearn_results(RESULT))
    assert document["gradable"] is True and 0 <= document["score"] <= 1
    assert document["score"] == pytest.approx(RESULT.score / RESULT.points)
    for test, exercise in zip(document["tests"], EXERCISES, strict=True):
        assert {"name", "points", "max_points", "output"} <= set(test)
        assert set(test) <= {"name", "description", "points", "max_points", "message", "output", "images"}
        assert (test["points"], test["max_points"]) == (exercise.score, exercise.points)
    assert "format_errors" not in document


def test_without_a_file_prairielearn_takes_no_attempt():
    document = json.loads(prairielearn_results(ABSENT))
    assert document["gradable"] is False
    assert document["format_errors"] == ["No file of the course was handed in."]
    assert json.loads(prairielearn_results(replace(ABSENT, problems=("why",))))["format_errors"] == ["why"]


def test_prairielearn_takes_one_megabyte():
    long = replace(EXERCISES[1], message="é\n" * 100_000)
    many = tuple(replace(long, exercise=f"conv{number}") for number in range(40))
    text = prairielearn_results(replace(RESULT, exercises=many))
    assert 200_000 < len(text.encode("utf-8")) <= 1_000_000
    assert json.loads(text)["tests"][39]["output"].endswith("... (cut)")


# JUnit.


def test_junit():
    suites = ElementTree.fromstring(junit_xml(RESULT))
    assert suites.tag == "testsuites" and [suite.get("name") for suite in suites] == [e.exercise for e in EXERCISES]
    totals = dict.fromkeys(("tests", "failures", "errors", "skipped"), 0)
    for suite in suites:
        assert suite.tag == "testsuite"
        tests = suite.findall("testcase")
        assert all(test.get("name") and test.get("classname") == suite.get("name") for test in tests)
        counted = [len(tests), *(len(suite.findall(f"testcase/{kind}")) for kind in ("failure", "error", "skipped"))]
        assert [int(suite.get(name)) for name in totals] == counted
        totals = {name: total + count for (name, total), count in zip(totals.items(), counted)}
    assert {name: int(suites.get(name)) for name in totals} == totals
    assert totals == {"tests": 6, "failures": 2, "errors": 1, "skipped": 1}
    assert suites[2][0][0].get("type") == "ended" and suites[4][0][0].text == "raises"


# The gradebook.


def test_the_gradebook():
    other = StudentResult("Zoë, the second\nof her name", "vision 1", "", EXERCISES[:2])
    rows = list(csv.reader(io.StringIO(gradebook([other, ABSENT]))))
    assert rows == [
        ["student", "linear", "conv", "pool", "total", "points"],
        ["Ada", "", "", "", "0", "1"],
        ["Zoë, the second\nof her name", "3", "1.33", "", "4.33", "7"],
    ]


@pytest.mark.parametrize("name", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", " =1", '=cmd|" /C calc"!A0', "＝1"])
def test_no_name_is_a_formula(name):
    rows = list(csv.reader(io.StringIO(gradebook([replace(ABSENT, student=name)]), newline="")))
    assert rows[1][0].startswith("'") and rows[1][0][1:].lstrip("\ufffd\t ").startswith(name.lstrip())


def test_columns_are_in_the_order_of_the_course_and_lines_in_that_of_names():
    results = [StudentResult(name, "vision 1", "", EXERCISES) for name in ("b", "a", "c")]
    rows = list(csv.reader(io.StringIO(gradebook(results))))
    assert rows[0][1:-2] == [exercise.exercise for exercise in EXERCISES]
    assert [row[0] for row in rows[1:]] == ["a", "b", "c"]
    assert gradebook(reversed(results)) == gradebook(results)
