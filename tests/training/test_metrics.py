"""Metrics against loops and against torch's definitions."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv.training import RunningMeans, confusion_matrix, topk_accuracy
from minitorch_cv.training.metrics import named_metrics


@pytest.mark.parametrize("k", [1, 2, 5, 7])
def test_topk_accuracy_against_sorting(rng, k):
    logits, labels = rng.standard_normal((200, 7)), rng.integers(0, 7, 200)
    expected = np.mean([label in np.argsort(-row)[:k] for row, label in zip(logits, labels)])
    assert topk_accuracy(logits, labels, k) == expected
    assert topk_accuracy(mt.Tensor(logits), mt.Tensor(labels), k) == expected


def test_of_equal_logits_the_first_class_comes_first():
    equal = np.zeros((10, 10))
    assert topk_accuracy(equal, np.arange(10)) == 0.1
    assert topk_accuracy(equal, np.arange(10), 5) == 0.5
    assert topk_accuracy(equal, np.zeros(10, int)) == 1.0


def test_nothing_is_right_about_nan():
    logits = np.array([[np.nan, 1.0], [0.0, np.nan], [0.0, 1.0]])
    assert topk_accuracy(logits, np.array([0, 0, 1])) == pytest.approx(1 / 3)


@pytest.mark.parametrize(
    ("logits", "labels", "k", "message"),
    [
        (
            np.zeros((3, 4)),
            np.zeros(2, int),
            1,
            "topk_accuracy: logits .* logits are \\(3, 4\\), labels int64 \\(2,\\)",
        ),
        (np.zeros((3, 4)), np.zeros((3, 4)), 1, "topk_accuracy: .* labels float64 \\(3, 4\\)"),
        (np.zeros((0, 4)), np.zeros(0, int), 1, "topk_accuracy: .* N >= 1; logits are \\(0, 4\\)"),
        (np.zeros((2, 4)), np.array([0, 4]), 1, "topk_accuracy: labels expects 0 .. 3; they are 0 .. 4"),
        (np.zeros((2, 4)), np.array([0, 3]), 5, "topk_accuracy: k expects 1 .. 4, the number of classes; it is 5"),
    ],
)
def test_topk_accuracy_says_what_does_not_fit(logits, labels, k, message):
    with pytest.raises(ValueError, match=message):
        topk_accuracy(logits, labels, k)


def test_confusion_matrix_against_a_loop(rng):
    labels, predictions = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    expected = np.zeros((6, 6), int)
    for i, j in zip(labels, predictions):
        expected[i, j] += 1
    assert np.array_equal(confusion_matrix(predictions, labels, 6), expected)
    assert np.array_equal(confusion_matrix(np.eye(6)[predictions], labels), expected)
    assert confusion_matrix(np.array([], int), np.array([], int), 2).tolist() == [[0, 0], [0, 0]]


def test_confusion_matrix_says_what_does_not_fit():
    with pytest.raises(ValueError, match=r"confusion_matrix: predictions \(3,\) expects labels of shape \(3,\)"):
        confusion_matrix(np.zeros(3, int), np.zeros(2, int))
    with pytest.raises(ValueError, match=r"confusion_matrix: labels expects classes in 0 .. 1; they are 0 .. 2"):
        confusion_matrix(np.array([0, 1]), np.array([0, 2]), 2)


def test_running_means_weight_batches_by_their_size(rng):
    values, means = rng.standard_normal(103), RunningMeans()
    for first in range(0, 103, 10):
        part = values[first : first + 10]
        means.update(len(part), loss=part.mean())
    assert means.means()["loss"] == pytest.approx(values.mean(), rel=1e-12)
    copy = RunningMeans()
    copy.load_state_dict(means.state_dict())
    assert copy.means() == means.means()
    assert RunningMeans().means() == {}


def test_a_number_that_not_every_batch_tells():
    means = RunningMeans()
    means.update(2, loss=1.0)
    means.update(4, loss=4.0, other=7.0)
    again = RunningMeans()
    again.load_state_dict(means.state_dict())
    again.update(2, other=1.0)
    assert means.means() == {"loss": 3.0, "other": 7.0} and again.means() == {"loss": 3.0, "other": 5.0}


def test_metrics_by_name_and_by_function():
    def error(logits, labels):
        return 1 - topk_accuracy(logits, labels)

    logits, labels = np.eye(6)[[0, 1, 2]], np.array([0, 1, 3])
    found = named_metrics(("top1", "top5", error))
    assert {n: f(logits, labels) for n, f in found.items()} == {"top1": 2 / 3, "top5": 1.0, "error": 1 - 2 / 3}
    assert list(named_metrics({"miss": error})) == ["miss"]


@pytest.mark.parametrize(
    "metrics",
    [
        ("top0",),
        ("accuracy",),
        ("top1", "top1"),
        {"loss": lambda z, y: 0.0},
        {"images_per_second": lambda z, y: 0.0},
        {"test_top1": lambda z, y: 0.0},
    ],
)
def test_unknown_metrics_are_named(metrics):
    with pytest.raises(ValueError, match=r"^metrics: expects "):
        named_metrics(metrics)
    with pytest.raises(TypeError, match=r"^metrics: expects .* one is 3"):
        named_metrics((3,))
