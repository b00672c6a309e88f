"""Every line of a derivation is checked, and the mistake is found in the line that holds it."""

import itertools

import numpy as np
import pytest

from minitorch_cv.checks.derivation import check_derivation
from minitorch_cv.checks.report import CheckError

EPS = 1e-5

BATCH_NORM = {
    "mean": lambda x: x.mean(axis=0),
    "var": lambda x, mean: ((x - mean) ** 2).mean(axis=0),
    "xhat": lambda x, mean, var, eps=EPS: (x - mean) / np.sqrt(var + eps),
    "y": lambda xhat, gamma, beta: gamma * xhat + beta,
}


def batch_norm_inputs():
    rng = np.random.default_rng(0)
    return {
        "x": rng.standard_normal((6, 4)) * 2 + 1,
        "gamma": rng.uniform(0.5, 1.5, 4),
        "beta": rng.standard_normal(4),
    }


def batch_norm_backward(**wrong):
    """The derivation of batch norm line by line; each keyword replaces the function of one line."""
    lines = {
        "dbeta": lambda v, g: g["dy"].sum(axis=0),
        "dgamma": lambda v, g: (g["dy"] * v["xhat"]).sum(axis=0),
        "dxhat": lambda v, g: g["dy"] * v["gamma"],
        "dvar": lambda v, g: (g["dxhat"] * (v["x"] - v["mean"])).sum(axis=0) * -0.5 * (v["var"] + EPS) ** -1.5,
        "dmean": lambda v, g: -g["dxhat"].sum(axis=0) / np.sqrt(v["var"] + EPS),
        "dx": lambda v, g: (
            g["dxhat"] / np.sqrt(v["var"] + EPS)
            + g["dvar"] * 2 * (v["x"] - v["mean"]) / len(v["x"])
            + g["dmean"] / len(v["x"])
        ),
    }
    assert wrong.keys() <= lines.keys()

    def backward(dy, values):
        gradients = {"dy": dy}
        for name, line in {**lines, **wrong}.items():
            gradients[name] = line(values, gradients)
        return {name: gradient for name, gradient in gradients.items() if name != "dy"}

    return backward


def dmean_with_the_term_through_the_variance(v, g):
    direct = -g["dxhat"].sum(axis=0) / np.sqrt(v["var"] + EPS)
    return direct + g["dvar"] * (-2 * (v["x"] - v["mean"])).mean(axis=0)


def check_batch_norm(**wrong):
    return check_derivation(BATCH_NORM, batch_norm_backward(**wrong), batch_norm_inputs())


def test_right_derivation_passes_and_every_line_is_listed():
    report = check_batch_norm()
    assert report and report.first_wrong is None
    assert list(report.lines.items()) == [
        (name, "right") for name in ("dbeta", "dgamma", "dxhat", "dvar", "dmean", "dx")
    ]
    assert max(entry.max_error for entry in report.inputs) < 1e-6


def test_both_textbook_forms_of_dmean_are_right():
    assert check_batch_norm(dmean=dmean_with_the_term_through_the_variance)


def test_closed_form_of_dx_is_right_beside_the_lines():
    def closed(v, g):
        xhat, dxhat = v["xhat"], g["dxhat"]
        centred = dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)
        return centred / np.sqrt(v["var"] + EPS)

    assert check_batch_norm(dx=closed)


MISTAKES = {
    "dbeta": lambda v, g: g["dy"].mean(axis=0),
    "dgamma": lambda v, g: (g["dy"] * v["x"]).sum(axis=0),
    "dxhat": lambda v, g: g["dy"],
    "dvar": lambda v, g: (g["dxhat"] * (v["x"] - v["mean"])).sum(axis=0) * -0.5 * (v["var"] + EPS) ** -0.5,
    "dmean": lambda v, g: g["dxhat"].sum(axis=0) / np.sqrt(v["var"] + EPS),
    "dx": lambda v, g: g["dxhat"] / np.sqrt(v["var"] + EPS) + g["dmean"] / len(v["x"]),
}
FOLLOWS = {
    "dbeta": set(),
    "dgamma": set(),
    "dxhat": {"dvar", "dmean", "dx"},
    "dvar": {"dx"},
    "dmean": {"dx"},
    "dx": set(),
}


@pytest.mark.parametrize("line", MISTAKES)
def test_mistake_is_named_as_its_own_line_and_what_follows_as_inherited(line):
    report = check_batch_norm(**{line: MISTAKES[line]})
    assert not report
    assert report.first_wrong == line and report.wrong_lines == [line]
    assert {name for name, verdict in report.lines.items() if verdict == "inherited"} == FOLLOWS[line]
    assert f"The first wrong line is {line}." in str(report)


@pytest.mark.parametrize("line", MISTAKES)
def test_one_entry_wrong_by_a_thousandth_is_found_in_its_line(line):
    right = batch_norm_backward()

    def backward(dy, values):
        gradients = right(dy, values)
        wrong = gradients[line].copy()
        wrong[np.unravel_index(np.argmax(np.abs(wrong)), wrong.shape)] *= 1.001
        return {**gradients, line: wrong}

    report = check_derivation(BATCH_NORM, backward, batch_norm_inputs())
    assert not report and line in report.wrong_lines


def test_two_mistakes_are_told_apart_from_what_they_cause():
    report = check_batch_norm(dxhat=MISTAKES["dxhat"], dmean=MISTAKES["dmean"])
    assert report.first_wrong == "dxhat" and report.wrong_lines == ["dxhat", "dmean"]
    assert report.lines["dvar"] == report.lines["dx"] == "inherited"
    assert "because of dxhat" in str(report["dvar"].hypotheses[0].message)


@pytest.mark.parametrize(
    ("dx", "message"),
    [
        (MISTAKES["dx"], "the path through var is missing: dx lacks what dvar contributes"),
        (
            lambda v, g: (
                g["dxhat"] / np.sqrt(v["var"] + EPS)
                + g["dvar"] * 2 * (v["x"] - v["mean"]) / len(v["x"])
                - g["dmean"] / len(v["x"])
            ),
            "what dmean contributes to dx has the wrong sign",
        ),
        (
            lambda v, g: (
                g["dxhat"] / np.sqrt(v["var"] + EPS) + g["dvar"] * 2 * (v["x"] - v["mean"]) / len(v["x"]) + g["dmean"]
            ),
            "what dmean contributes to dx is 6 times what it should be",
        ),
    ],
)
def test_forgotten_and_misweighted_paths_are_named(dx, message):
    report = check_batch_norm(dx=dx)
    assert [hypothesis.message for hypothesis in report["dx"].hypotheses] == [message]


@pytest.mark.parametrize(
    ("line", "mistake", "message"),
    [
        ("dgamma", MISTAKES["dgamma"], "dgamma is computed from x where xhat belongs"),
        (
            "dvar",
            lambda v, g: (g["dy"] * (v["x"] - v["mean"])).sum(axis=0) * -0.5 * (v["var"] + EPS) ** -1.5,
            "dvar starts from dy where dxhat belongs",
        ),
        ("dbeta", MISTAKES["dbeta"], "6 is the batch size N"),
        ("dmean", MISTAKES["dmean"], "dmean has the wrong sign"),
        ("dxhat", MISTAKES["dxhat"], "the factor gamma is missing"),
        ("dxhat", lambda v, g: g["dy"] * v["beta"], "dxhat is computed from beta where gamma belongs"),
    ],
)
def test_the_mistake_in_a_line_is_told(line, mistake, message):
    report = check_batch_norm(**{line: mistake})
    assert report.wrong_lines == [line] and message in str(report)


def test_wrong_shape_and_nan_are_the_lines_own_and_what_follows_waits():
    report = check_batch_norm(dvar=lambda v, g: g["dxhat"] * 1.0)
    assert report.wrong_lines == ["dvar"] and report.lines["dx"] == "inherited"
    report = check_batch_norm(dxhat=lambda v, g: g["dy"] * np.nan)
    assert report.wrong_lines == ["dxhat"]
    assert {report.lines[name] for name in ("dvar", "dmean", "dx")} == {"inherited"}


def test_intermediate_gradients_may_be_left_out_but_inputs_may_not():
    def closed(dy, xhat, gamma, var):
        dxhat = dy * gamma
        dx = (dxhat - dxhat.mean(axis=0) - xhat * (dxhat * xhat).mean(axis=0)) / np.sqrt(var + EPS)
        return {"dgamma": (dy * xhat).sum(axis=0), "dbeta": dy.sum(axis=0), "dx": dx}

    report = check_derivation(BATCH_NORM, closed, batch_norm_inputs())
    assert report and report.lines["dvar"] == "not given"
    assert "dvar was not given" in str(report)

    def without_beta(dy, xhat, gamma, var):
        return {name: gradient for name, gradient in closed(dy, xhat, gamma, var).items() if name != "dbeta"}

    report = check_derivation(BATCH_NORM, without_beta, batch_norm_inputs())
    assert not report and "no gradient of the input beta" in str(report)
    allowed = check_derivation(
        BATCH_NORM,
        lambda dy, xhat, gamma, var: {**without_beta(dy, xhat, gamma, var), "dbeta": None},
        batch_norm_inputs(),
    )
    assert allowed and str(allowed).endswith("The gradient is right (beta not checked).")


def forward_with_nodes(x, gamma, beta, node):
    mean = node("mean", x.mean(axis=0))
    var = node("var", ((x - mean) ** 2).mean(axis=0))
    xhat = node("xhat", (x - mean) / np.sqrt(var + EPS))
    return gamma * xhat + beta


@pytest.mark.parametrize("line", [None, *MISTAKES])
def test_one_function_that_names_its_values_gives_the_same_verdicts(line):
    wrong = {line: MISTAKES[line]} if line else {}
    report = check_derivation(forward_with_nodes, batch_norm_backward(**wrong), tuple(batch_norm_inputs().values()))
    assert report.lines == check_batch_norm(**wrong).lines


def test_steps_may_be_a_list_of_functions_and_names_may_lack_the_d():
    def square(x):
        return x * x

    def total(square):
        return square.sum(axis=1)

    def backward(dy, x):
        dsquare = np.repeat(dy[:, None], x.shape[1], axis=1)
        return {"square": dsquare, "x": 2 * x * dsquare}

    x = np.random.default_rng(3).standard_normal((3, 4))
    assert check_derivation([square, total], backward, x).lines == {"dsquare": "right", "dx": "right"}


def test_values_used_twice_accumulate():
    steps = {"a": lambda x: np.exp(x), "b": lambda a: a * a, "y": lambda a, b: a * b + b}

    def backward(dy, a, b, overwrite):
        da, db = dy * b, dy * (a + 1)
        da = 2 * a * db if overwrite else da + 2 * a * db
        return {"db": db, "da": da, "dx": da * a}

    x = np.random.default_rng(4).standard_normal(5)
    assert check_derivation(steps, lambda dy, a, b: backward(dy, a, b, False), {"x": x})
    report = check_derivation(steps, lambda dy, a, b: backward(dy, a, b, True), {"x": x})
    assert report.lines == {"db": "right", "da": "wrong", "dx": "inherited"}
    assert report["da"].hypotheses[0].message == "the path through y is missing: da lacks what dy contributes"


SOFTMAX_CROSS_ENTROPY = {
    "shifted": lambda z: z - z.max(axis=1, keepdims=True),
    "e": lambda shifted: np.exp(shifted),
    "s": lambda e: e.sum(axis=1, keepdims=True),
    "p": lambda e, s: e / s,
    "loss": lambda p, labels: -np.log(p[np.arange(len(labels)), labels]).mean(),
}


def softmax_cross_entropy_lines(**wrong):
    lines = {
        "dp": lambda v, g: -g["dy"] / len(v["p"]) * np.eye(v["p"].shape[1])[v["labels"]] / v["p"],
        "ds": lambda v, g: -(g["dp"] * v["e"] / v["s"] ** 2).sum(axis=1, keepdims=True),
        "de": lambda v, g: g["dp"] / v["s"] + g["ds"],
        "dshifted": lambda v, g: g["de"] * v["e"],
        "dz": lambda v, g: g["dshifted"],  # the path through the maximum is zero, and usually left out
    }

    def backward(dy, values):
        gradients = {"dy": dy}
        for name, line in {**lines, **wrong}.items():
            gradients[name] = line(values, gradients)
        return {name: gradient for name, gradient in gradients.items() if name != "dy"}

    inputs = {"z": np.random.default_rng(6).standard_normal((4, 3)), "labels": np.array([0, 2, 1, 1])}
    return check_derivation(SOFTMAX_CROSS_ENTROPY, backward, inputs)


@pytest.mark.parametrize(
    ("line", "mistake"),
    [
        ("dp", lambda v, g: -g["dy"] * np.eye(3)[v["labels"]] / v["p"]),
        ("ds", lambda v, g: (g["dp"] * v["e"] / v["s"] ** 2).sum(axis=1, keepdims=True)),
        ("ds", lambda v, g: -(g["dp"] * v["e"] / v["s"]).sum(axis=1, keepdims=True)),
        ("ds", lambda v, g: -(g["dp"] * v["e"] / v["s"] ** 2)),
        ("de", lambda v, g: g["dp"] / v["s"]),
        ("dshifted", lambda v, g: g["de"] * v["shifted"]),
        ("dz", lambda v, g: 2 * g["dshifted"]),
    ],
)
def test_path_that_is_zero_may_be_left_out_even_behind_a_mistake(line, mistake):
    assert softmax_cross_entropy_lines()
    report = softmax_cross_entropy_lines(**{line: mistake})
    assert report.wrong_lines == [line], report


def test_kinks_integers_and_scalars_pass_through():
    steps = {
        "a": lambda x, weight: x @ weight,
        "mask": lambda a: a > 0,
        "r": lambda a, mask: np.where(mask, a, 0.0),
        "picked": lambda r, label: r[np.arange(len(label)), label],
        "loss": lambda picked: picked.sum(),
    }

    def backward(dy, x, weight, mask, label):
        dpicked = np.full(len(label), float(dy))
        dr = np.zeros(mask.shape)
        dr[np.arange(len(label)), label] = dpicked
        da = dr * mask
        return {"dpicked": dpicked, "dr": dr, "da": da, "dweight": x.T @ da, "dx": da @ weight.T}

    rng = np.random.default_rng(5)
    inputs = {"x": rng.standard_normal((4, 3)), "weight": rng.standard_normal((3, 5)), "label": np.array([0, 3, 1, 3])}
    report = check_derivation(steps, backward, inputs)
    assert report, report


COUNT = itertools.count(1)


def only_one(x):
    return {1.0: x}[float(x[0])]


@pytest.mark.parametrize(
    ("steps", "backward", "inputs", "message"),
    [
        ({}, lambda dy: {}, {}, "steps is empty"),
        ({"y": 3}, lambda dy: {}, {}, "step y is a int; it expects a function"),
        ({"y": lambda *a: 1}, lambda dy: {}, {}, "arguments must name the values"),
        (
            {"a": lambda b: b, "b": lambda x: x},
            lambda dy: {},
            {"x": np.ones(2)},
            "a is computed from b, which comes after",
        ),
        ({"y": lambda x, w: x}, lambda dy: {}, {"x": np.ones(2)}, "w is neither a step nor an input; the inputs are x"),
        ({"y": lambda x: x}, lambda dy: {}, {"x": np.ones(2), "w": 1.0}, "no step is computed from the input w"),
        ({"y": lambda x, w: x * w}, lambda dy: {}, (np.ones(2),), "from 2 inputs (x, w); 1 were given"),
        ({"y": lambda x: x}, lambda dy: dy, {"x": np.ones(2)}, "expects to return a dict name -> gradient"),
        ({"y": lambda x: x}, lambda dy: {"dz": dy}, {"x": np.ones(2)}, "dz, which is the gradient of no step or input"),
        ({"y": lambda x: x}, lambda dy: {"dx": dy, "x": dy}, {"x": np.ones(2)}, "the gradient of x twice"),
        ({"y": lambda x: x}, lambda dy, x, z: {}, {"x": np.ones(2)}, "z is none of them"),
        ({"y": lambda x: x}, lambda dy, x: x.fill(0) or {}, {"x": np.ones(2)}, "backward changes x in place"),
        ({"y": lambda x: x.fill(2) or x}, lambda dy: {}, {"x": np.ones(2)}, "step y changes x in place"),
        ({"y": lambda x: x / 0}, lambda dy: {}, {"x": np.ones(2)}, "step y holds NaN or infinity"),
        ({"y": lambda x: x > 0}, lambda dy: {}, {"x": np.ones(2)}, "the output y is no array of floats"),
        (
            {"y": lambda x: x},
            lambda dy: {"x": "no"},
            {"x": np.ones(2)},
            "expects x to be an array of floats; it is 'no'",
        ),
        ({"y": lambda x: x * next(COUNT)}, lambda dy: {}, {"x": np.ones(2)}, "step y gives another value at each run"),
        (lambda x: x, lambda dy: {}, {"x": np.ones(2)}, "expects an argument `node`"),
        (3, lambda dy: {}, {}, "steps expects a dict name -> function; it is a int"),
        ({"y": lambda x: x}, lambda dy, x: 1 / 0, {"x": np.ones(2)}, "backward raised ZeroDivisionError"),
        ({"y": only_one}, lambda dy: {"dx": dy}, {"x": np.ones(2)}, "with a value moved a little, raised KeyError"),
        ({"y": lambda x: x @ x.T @ x}, lambda dy: {}, {"x": np.ones((2, 3, 4))}, "test_derivation.py, line"),
    ],
)
def test_misuse_is_said(steps, backward, inputs, message):
    with pytest.raises(CheckError) as error:
        check_derivation(steps, backward, inputs)
    assert message in str(error.value)


def titles(figure):
    """The titles of the heat maps."""
    return [axes.get_title() for axes in figure.axes if axes.get_title()]


def test_figure_shows_the_lines_that_are_wrong_in_themselves():
    figure = check_batch_norm(dmean=MISTAKES["dmean"]).plot()
    assert titles(figure) == ["dmean (4,): WRONG"]
    assert figure.get_suptitle().endswith("WRONG (1 of 6 drawn)")
    labels = [axes.get_ylabel().replace("\n", " ") for axes in figure.axes]
    assert "given gradient against the central difference" in labels
    assert any("that is\nthe gradient's error" in text.get_text() for axes in figure.axes for text in axes.texts)
    both = check_batch_norm(dxhat=MISTAKES["dxhat"], dmean=MISTAKES["dmean"]).plot()
    assert titles(both) == ["dxhat (6, 4): WRONG", "dmean (4,): WRONG"]


def test_figure_of_many_right_lines_shows_the_four_of_largest_error():
    report = check_batch_norm()
    figure = report.plot()
    least = sorted(report.inputs, key=lambda entry: entry.max_error)[:2]
    shown = [title.split()[0] for title in titles(figure)]
    assert shown == [entry.name for entry in report.inputs if entry not in least] and len(shown) == 4
    assert "error of the central difference" in [axes.get_ylabel() for axes in figure.axes]


def test_report_as_dict_names_the_first_wrong_line():
    found = check_batch_norm(dmean=MISTAKES["dmean"]).to_dict()
    assert found["first_wrong"] == "dmean" and found["lines"]["dx"] == "inherited" and found["ok"] is False
