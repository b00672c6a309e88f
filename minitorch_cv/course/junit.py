"""Results as JUnit XML, which continuous integration shows: Jenkins, GitLab, GitHub's actions."""

from __future__ import annotations

from xml.etree import ElementTree
from xml.etree.ElementTree import Element, SubElement

from ._text import STATUS_TEXT, readable
from .results import CaseResult, ExerciseResult, StudentResult


def junit_xml(result: StudentResult) -> str:
    """The XML: a suite for each exercise, a test for each of its cases.

    A case that does not pass is a failure; in an exercise that was ended at a limit, an error. An exercise that was not
    written or not handed in is skipped. There are no seconds in it: the same findings give the same file.
    """
    suites = Element("testsuites", name=readable(f"{result.course}: {result.student}"))
    for exercise in result.exercises:
        suites.append(_suite(exercise))
    for count in ("tests", "failures", "errors", "skipped"):
        suites.set(count, str(sum(int(suite.get(count, "0")) for suite in suites)))
    ElementTree.indent(suites)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + ElementTree.tostring(suites, encoding="unicode") + "\n"


def _suite(exercise: ExerciseResult) -> Element:
    suite = Element("testsuite", name=readable(exercise.exercise))
    # Without cases the exercise itself is the test.
    cases = exercise.cases or (CaseResult(exercise.title, exercise.status == "full", exercise.points),)
    for case in cases:
        test = SubElement(suite, "testcase", classname=readable(exercise.exercise), name=readable(case.name))
        kind = _KINDS.get(exercise.status, "failure")
        if not case.passed:
            message = readable(case.message or STATUS_TEXT[exercise.status])
            outcome = SubElement(test, kind, message=message)
            if kind != "skipped":
                outcome.set("type", exercise.status)
                outcome.text = readable(case.message or exercise.message)
    if exercise.message:
        SubElement(suite, "system-out").text = readable(exercise.message)
    suite.set("tests", str(len(cases)))
    for count, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(count, str(len(suite.findall(f"testcase/{kind}"))))
    return suite


_KINDS = {"ended": "error", "not written": "skipped", "not handed in": "skipped"}
