"""Measures of samples against loops, closed forms, and samples of which the answer is known."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv.training import (
    class_entropy,
    class_shares,
    confident_share,
    frechet_distance,
    mode_coverage,
    nearest_distances,
    nearest_neighbours,
    recognised_share,
    within_class_spread,
)


def softmax(z):
    e = np.exp(z - z.max(axis=1, keepdims=True))
    return e / e.sum(axis=1, keepdims=True)


def test_what_a_classifier_reads_against_loops(rng):
    z, labels = 3 * rng.standard_normal((300, 5)), rng.integers(0, 5, 300)
    assert recognised_share(z, labels) == np.mean([np.argmax(row) == y for row, y in zip(z, labels)])
    assert confident_share(z, 0.7) == np.mean([row.max() > 0.7 for row in softmax(z)])
    assert confident_share(z + 1000, 0.7) == confident_share(z, 0.7), "logits may be large"
    counts = [sum(np.argmax(row) == c for row in z) for c in range(5)]
    np.testing.assert_array_equal(class_shares(mt.Tensor(z)), np.array(counts) / 300)
    p = np.array(counts) / 300
    assert class_entropy(z) == pytest.approx(-(p * np.log(p)).sum(), rel=1e-12)
    assert class_entropy(np.repeat(np.eye(10), 3, axis=0)) == pytest.approx(math.log(10))


def whitened(rng, count, dimensions):
    """Samples whose mean is exactly 0 and whose covariance is exactly the unit matrix."""
    x = rng.standard_normal((count, dimensions))
    x -= x.mean(axis=0)
    return x @ np.linalg.inv(np.linalg.cholesky(np.cov(x, rowvar=False))).T


def test_frechet_distance_of_normal_distributions_in_closed_form(rng):
    x, y = whitened(rng, 60, 4), whitened(rng, 90, 4)
    a, b = np.array([1.0, 2.0, 0.5, 3.0]), np.array([2.0, 1.0, 0.5, 0.1])
    moved = np.array([1.0, 0.0, -2.0, 0.5])
    # Covariances with the same principal directions: |m|^2 + sum (sqrt(variance_a) - sqrt(variance_b))^2.
    rotation = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    found = frechet_distance((x * a) @ rotation, (y * b) @ rotation + moved)
    assert found == pytest.approx(moved @ moved + ((a - b) ** 2).sum(), rel=1e-10)
    # Any two in two dimensions: tr (A B)^(1/2) = sqrt(tr AB + 2 sqrt(det AB)).
    p, q = rng.standard_normal((2, 2)), rng.standard_normal((2, 2))
    A, B = p @ p.T, q @ q.T
    root = math.sqrt(np.trace(A @ B) + 2 * math.sqrt(np.linalg.det(A @ B)))
    found = frechet_distance(whitened(rng, 50, 2) @ p.T, whitened(rng, 50, 2) @ q.T)
    assert found == pytest.approx(np.trace(A) + np.trace(B) - 2 * root, rel=1e-9)
    # In one dimension (m - m')^2 + (s - s')^2.
    assert frechet_distance(2 * x[:, :1] + 1, 5 * y[:, :1]) == pytest.approx(1 + 9, rel=1e-10)


def test_frechet_distance_with_more_features_than_samples(rng):
    x = rng.standard_normal((10, 30))
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-6)
    assert frechet_distance(x, x + 1) == pytest.approx(30, rel=1e-6)
    assert frechet_distance(x, x[::-1] * 3) == pytest.approx(frechet_distance(x[::-1] * 3, x), rel=1e-9)


def test_frechet_distance_falls_with_the_number_of_samples(rng):
    few, many = (frechet_distance(*rng.standard_normal((2, n, 8))) for n in (50, 5000))
    assert 0 < many < few / 20


def test_spread_within_classes_against_a_loop(rng):
    real, real_labels = rng.standard_normal((200, 1, 3, 2)), rng.integers(0, 4, 200)
    samples, labels = 0.5 * rng.standard_normal((90, 1, 3, 2)), rng.integers(0, 3, 90)
    found = within_class_spread(samples, labels, real, real_labels)
    assert found.shape == (4,) and np.isnan(found[3])
    for c in range(3):
        ratio = samples[labels == c].var(axis=0, ddof=1).sum() / real[real_labels == c].var(axis=0, ddof=1).sum()
        assert found[c] == pytest.approx(math.sqrt(ratio), rel=1e-12)
        assert 0.35 < found[c] < 0.65
    np.testing.assert_allclose(within_class_spread(real + 7, real_labels, real, real_labels), 1, rtol=1e-12)


def test_neighbours_against_all_distances(rng):
    samples, train = rng.random((300, 1, 5, 5)), rng.random((70, 1, 5, 5))
    distances = np.sqrt(((samples[:, None] - train) ** 2).sum(axis=(2, 3, 4)))
    found = nearest_neighbours(samples, train, 3)
    order = np.argsort(distances, axis=1)[:, :3]
    np.testing.assert_array_equal(found.indices, order)
    np.testing.assert_allclose(found.distances, np.take_along_axis(distances, order, 1), rtol=1e-12)
    whole = nearest_neighbours(samples, train, 70)
    np.testing.assert_array_equal(whole.indices, np.argsort(distances, axis=1))
    copies = nearest_neighbours(train[[5, 9]], train)
    assert copies.indices.tolist() == [[5], [9]] and copies.distances.tolist() == [[0.0], [0.0]], "no rounding"


def test_memorised_samples_are_found_out(rng):
    train, held_out = rng.standard_normal((400, 6)), rng.standard_normal((100, 6))
    fresh = nearest_distances(rng.standard_normal((2000, 6)), train, held_out)
    assert fresh.expected_share == 0.8
    assert fresh.share_nearest_train == pytest.approx(0.8, abs=5 * math.sqrt(0.16 / 500)), "as if drawn anew"
    assert fresh.copied_share() < 0.1
    copied = nearest_distances(train[:50] + 1e-3 * rng.standard_normal((50, 6)), train, held_out)
    assert copied.share_nearest_train == 1.0 and copied.copied_share() == 1.0
    both = nearest_distances(train[:5], train, train)
    assert both.share_nearest_train == 0.5 and both.copied_share() == 0.0


def test_the_eight_gaussians(rng):
    angles = 2 * np.pi * np.arange(8) / 8
    centres = 2 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    which = rng.integers(0, 8, 20000)
    points = centres[which] + 0.05 * rng.standard_normal((20000, 2))
    found = mode_coverage(points, centres, 0.05)
    np.testing.assert_array_equal(found.shares, np.bincount(which) / 20000)
    assert found.covered() == 8
    true = 1 - math.exp(-4.5)
    assert found.good == pytest.approx(true, abs=5 * math.sqrt(true * (1 - true) / 20000))
    collapsed = mode_coverage(points[which < 2], centres, 0.05)
    assert collapsed.covered() == 2 and collapsed.covered(0) == 8
    assert mode_coverage(np.zeros((10, 2)), centres, 0.05).good == 0.0


NONE, TWO = np.zeros((0, 3)), np.zeros((2, 3))


@pytest.mark.parametrize(
    ("measure", "message"),
    [
        (lambda: recognised_share(TWO, [0, 3]), "recognised_share: labels expects 0 .. 2; they are 0 .. 3"),
        (lambda: recognised_share(TWO, [0]), r"recognised_share: .* labels int64 \(1,\)"),
        (lambda: confident_share(NONE), r"confident_share: logits expects numbers of shape \(N, C\); .*\(0, 3\)"),
        (lambda: confident_share(TWO, 90), "confident_share: threshold expects a probability in 0 .. 1; it is 90"),
        (lambda: class_shares(TWO * np.nan), "class_shares: logits expects finite numbers; 6 are not"),
        (lambda: class_entropy(np.zeros(3)), r"logits expects numbers of shape \(N, C\); it is float64 of .* \(3,\)"),
        (lambda: frechet_distance(TWO[:1], TWO), r"features_a expects numbers of shape \(N, D\), N >= 2"),
        (lambda: frechet_distance(TWO, TWO[:, :2]), r"features_a \(2, 3\) expects features_b of shape \(M, 3\)"),
        (lambda: within_class_spread(TWO, [0, 2], TWO, [0, 1]), "labels expects the classes of real_labels, 0 .. 1"),
        (lambda: within_class_spread(TWO, [0], TWO, [0, 1]), "labels expects a class from 0 on for each of 2"),
        (lambda: within_class_spread(TWO, [0, 1], TWO.T, [0, 1, 2]), r"real expects numbers of shape \(N, 3\)"),
        (lambda: nearest_neighbours(TWO, TWO, 3), "count expects at most the 2 of train; it is 3"),
        (lambda: nearest_neighbours(TWO, TWO, 0), "nearest_neighbours: count expects 1 or more; it is 0"),
        (lambda: nearest_distances(TWO, TWO, NONE), r"nearest_distances: held_out expects numbers of shape"),
        (lambda: mode_coverage(TWO, TWO[:, :2], 1.0), r"points \(2, 3\) expects centres of shape \(K, 3\)"),
        (lambda: mode_coverage(TWO, TWO, 0.0), "mode_coverage: sigma expects a number above 0; it is 0.0"),
    ],
)
def test_what_does_not_fit_is_said(measure, message):
    with pytest.raises(ValueError, match=message):
        measure()
