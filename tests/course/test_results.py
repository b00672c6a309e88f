"""The result of a student and its file: what comes back, what is refused, what stays the same to the byte."""

import json
from dataclasses import replace

import pytest

from minitorch_cv.course.results import (
    CaseResult,
    ExerciseResult,
    ResultError,
    StudentResult,
    digest,
    load_result,
    result_from_json,
    result_to_json,
    save_result,
)

CASES = (CaseResult("small", True, 1), CaseResult("wide", False, 2, "db: expects (3,), found (1, 3)"))
PARTIAL = ExerciseResult("linear", "1", "Linear", "00", 3, 1, "partial", CASES, "one of two", "hidden: wide", "ab")
ABSENT = ExerciseResult("conv", "2", "Convolution", "01", 4, 0, "not handed in")
RESULT = StudentResult("Ada Lovelace", "vision 1", "cd", (PARTIAL, ABSENT), ("'x.py' is a link",))


def test_what_is_saved_comes_back(tmp_path):
    save_result(RESULT, tmp_path / "ada.json")
    assert load_result(tmp_path / "ada.json") == RESULT
    assert [path.name for path in tmp_path.iterdir()] == ["ada.json"]


def test_sums():
    assert (RESULT.score, RESULT.points, RESULT.share) == (1, 7, 1 / 7)
    assert [case.earned for case in CASES] == [1, 0] and PARTIAL.share == 1 / 3
    assert StudentResult("a", "c", "").share == 0
    assert ExerciseResult("a", "1", "A", "00", 0, 0, "full").share == 1


def test_the_file_is_the_same_to_the_byte_whatever_the_kind_of_number():
    again = replace(RESULT, exercises=(replace(PARTIAL, points=3.0), ABSENT))
    assert again == RESULT and result_to_json(again) == result_to_json(RESULT)


def test_any_text_of_a_student_survives(tmp_path):
    odd = replace(RESULT, student="Zoë \udc80 \x00 \u202e", problems=("\ud800",))
    save_result(odd, tmp_path / "odd.json")
    assert load_result(tmp_path / "odd.json") == odd


def changed(**values):
    return json.dumps(json.loads(result_to_json(RESULT)) | values)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "text expects JSON"),
        ("[" * 100_000, "text expects JSON"),
        ("[]", "schema expects 1; it is 'list'"),
        ("{}", "schema expects 1; it is None"),
        (changed(schema=2), "schema expects 1; it is 2. Grade the hand-in anew"),
        (changed(extra=2), "result has unknown extra"),
        (json.dumps({"schema": 1, "student": "a"}), "result lacks course, exercises, handin_digest"),
        (changed(student=3), "student expects text; it is 3"),
        (changed(score=2), r"score expects the sum of the exercises, 1.0; it is 2"),
        (changed(exercises={}), "exercises expects a list; it is dict"),
        (changed(exercises=[3]), r"exercises\[0\] expects an object; it is int"),
        (changed(problems=[3]), "problems expects a tuple of str"),
        (result_to_json(RESULT).replace('"partial"', '"splendid"'), "status expects one of full, .*; it is 'splendid'"),
        (result_to_json(RESULT).replace('"passed": true', '"passed": 1'), r"cases\[0\]: CaseResult: passed expects"),
        (result_to_json(RESULT).replace('"points": 4.0', '"points": NaN'), "points expects a finite number"),
        (result_to_json(RESULT).replace('"points": 4.0', '"points": true'), "points expects a finite number"),
        (result_to_json(RESULT).replace('"score": 0.0', '"score": 9.0'), "score expects at most the points, 4.0"),
    ],
)
def test_what_is_no_result_is_refused(tmp_path, text, words):
    with pytest.raises(ResultError, match=words):
        result_from_json(text)
    (tmp_path / "a.json").write_text(text, encoding="utf-8")
    with pytest.raises(ResultError, match="a.json is no result: .*" + words):
        load_result(tmp_path / "a.json")


def test_bytes_that_are_no_text_are_refused(tmp_path):
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(ResultError, match=r"a\.json is no result: 'utf-8' codec"):
        load_result(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        load_result(tmp_path / "b.json")


def test_a_score_rounded_up_is_the_points():
    assert replace(PARTIAL, points=0.3, score=0.1 * 3).score == 0.3


def test_an_exercise_is_there_once():
    with pytest.raises(ValueError, match="exercises expects each once; conv is there twice"):
        replace(RESULT, exercises=(ABSENT, ABSENT))


def test_a_folder_that_is_not_there(tmp_path):
    with pytest.raises(FileNotFoundError):
        save_result(RESULT, tmp_path / "no" / "a.json")


def test_the_digest():
    assert digest(b"") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
