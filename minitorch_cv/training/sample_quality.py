r"""How good samples of a generative model are: what a classifier reads in them, and how they lie to real images.

Every measure here is of finitely many samples, and most depend on how many: compare sets of equal size, and show what
real images score against real ones beside it. `minitorch_cv.judge_digits` does so for digits.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from .._arguments import whole_number
from .metrics import _arrays, _plain, topk_accuracy

# ---- what a classifier reads


def recognised_share(logits: Any, labels: Any) -> float:
    r"""The share of samples that a classifier takes for what was asked for.

    Formula: $\frac{1}{N} |\{n : \arg\max_j z_{nj} = y_n\}|$; of equal logits the first counts, NaN never.
    Shapes: logits (N, C); labels (N,), the classes asked for.
    Units: a share in 0 .. 1.
    Raises: ValueError for other shapes, no sample, or a label outside 0 .. C - 1.

    >>> recognised_share(np.array([[0.0, 2.0], [1.0, 0.0]]), np.array([1, 1]))
    0.5
    """
    _arrays("recognised_share", logits, labels)
    return topk_accuracy(logits, labels)


def confident_share(logits: Any, threshold: float = 0.9) -> float:
    r"""The share of samples in which a classifier sees one class with a probability above `threshold`.

    Formula: $\frac{1}{N} |\{n : \max_j s_{nj} > \tau\}|$ with $s_n = \mathrm{softmax}(z_n)$.
    Shapes: logits (N, C).
    Units: a share in 0 .. 1; `threshold` a probability in 0 .. 1.
    Raises: ValueError for other shapes, no sample, logits that are not finite, or another threshold.

    >>> confident_share(np.log([[0.95, 0.05], [0.6, 0.4], [0.1, 0.9]]), threshold=0.8)
    0.6666666666666666
    """
    if not 0.0 <= threshold <= 1.0:
        raise ValueError(f"confident_share: threshold expects a probability in 0 .. 1; it is {threshold}")
    logits = _logits("confident_share", logits)
    # max softmax = 1 / sum_j e^(z_j - max z)
    largest = 1.0 / np.exp(logits - logits.max(axis=1, keepdims=True)).sum(axis=1)
    return float((largest > threshold).mean())


def class_shares(logits: Any) -> np.ndarray:
    r"""How the samples fall into the classes, each into the one of its largest logit.

    Formula: $p_j = \frac{1}{N} |\{n : \arg\max_i z_{ni} = j\}|$.
    Shapes: logits (N, C); result (C,), float64.
    Units: shares in 0 .. 1, their sum 1.
    Raises: ValueError for other shapes, no sample, or logits that are not finite.

    >>> class_shares(np.array([[3.0, 1.0, 0.0], [0.0, 1.0, 0.0], [2.0, 0.0, 0.0], [1.0, 5.0, 0.0]]))
    array([0.5, 0.5, 0. ])
    """
    logits = _logits("class_shares", logits)
    return np.bincount(logits.argmax(axis=1), minlength=logits.shape[1]) / len(logits)


def class_entropy(logits: Any) -> float:
    r"""The entropy of `class_shares`: ln C where all classes are equally frequent, 0 where there is but one.

    Formula: $-\sum_j p_j \ln p_j$.
    Shapes: logits (N, C).
    Units: nats.
    Raises: as `class_shares`.

    >>> round(class_entropy(np.eye(10)), 4), class_entropy(np.ones((5, 10)))
    (2.3026, 0.0)
    """
    shares = class_shares(logits)
    present = shares[shares > 0]
    return float(abs((present * np.log(present)).sum()))


# ---- how sets of samples lie to real ones


def frechet_distance(features_a: Any, features_b: Any) -> float:
    r"""The squared Fréchet distance of two sets of features, each taken for a normal distribution.

    Formula: $|m_a - m_b|^2 + \mathrm{tr}(S_a + S_b - 2 (S_a S_b)^{1/2})$ with means m and covariances S (divided by
        N - 1). The last trace is the sum of the singular values of $S_a^{1/2} S_b^{1/2}$; both roots by eigenvalues.
    Shapes: features_a (N, D), features_b (M, D).
    Units: the square of the features' own. It is no "FID", which is this on features of one particular net, and its
        numbers compare with no others. It is biased: two sets drawn from one distribution have a distance above 0,
        larger for fewer samples.
    Raises: ValueError for other shapes, fewer than two samples, or numbers that are not finite.
    Source: Dowson and Landau 1982; Heusel et al. 2017, arXiv 1706.08500, eq. 6

    >>> a = np.array([[0.0, 0.0], [2.0, 0.0], [0.0, 2.0], [2.0, 2.0]])
    >>> [round(frechet_distance(a, b), 6) for b in (a, a + [3.0, 4.0], 2 * a - 1)]  # moved; spread to the double
    [0.0, 25.0, 2.666667]
    """
    a = _features("frechet_distance", "features_a", features_a)
    b = _features("frechet_distance", "features_b", features_b)
    if a.shape[1] != b.shape[1]:
        raise ValueError(
            f"frechet_distance: features_a {a.shape} expects features_b of shape (M, {a.shape[1]}); it is {b.shape}"
        )
    covariances = [np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b)]
    common = np.linalg.svd(_root(covariances[0]) @ _root(covariances[1]), compute_uv=False).sum()
    moved = a.mean(axis=0) - b.mean(axis=0)
    return max(0.0, float(moved @ moved + np.trace(covariances[0]) + np.trace(covariances[1]) - 2 * common))


def within_class_spread(samples: Any, labels: Any, real: Any, real_labels: Any) -> np.ndarray:
    r"""How far samples of a class lie from their mean, relative to real ones; below 1 they are too much alike.

    Formula: $r_c = \sqrt{v_c / v'_c}$ with $v_c = \frac{1}{N_c - 1} \sum_{n: y_n = c} |x_n - m_c|^2$, v' of real ones.
    Shapes: samples (N, ...), labels (N,); real (M, ...), real_labels (M,); result (C,), for the classes 0 .. C - 1 of
        `real_labels`. NaN for a class with fewer than two samples, or without any spread of real ones.
    Units: samples and real in the same; the result is a ratio. Noise counts as spread.
    Raises: ValueError for other shapes, a class that the real ones lack, or numbers that are not finite.

    >>> real = np.array([[1.0], [5.0], [3.0], [4.0]])
    >>> within_class_spread(np.array([[0.0], [2.0], [7.0]]), [0, 0, 1], real, [0, 0, 1, 1])
    array([0.5, nan])
    """
    x, y = _flat("within_class_spread", "samples", samples), _flat("within_class_spread", "real", real, samples)
    classes = _classes("within_class_spread", "labels", labels, len(x))
    real_classes = _classes("within_class_spread", "real_labels", real_labels, len(y))
    count = int(real_classes.max()) + 1
    if classes.max() >= count:
        raise ValueError(
            f"within_class_spread: labels expects the classes of real_labels, 0 .. {count - 1}; one is {classes.max()}"
        )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios = [_variance(x[classes == c]) / _variance(y[real_classes == c]) for c in range(count)]
    return np.sqrt(np.where(np.isfinite(ratios), ratios, np.nan))


# ---- memory


class Neighbours(NamedTuple):
    """The nearest images of each sample, the nearest first."""

    indices: np.ndarray
    """(N, count), int64: which they are."""
    distances: np.ndarray
    """(N, count), float64"""


def nearest_neighbours(samples: Any, train: Any, count: int = 1) -> Neighbours:
    r"""The training images that lie nearest to each sample, to be shown beside it, so that copies are seen.

    Formula: the `count` smallest of $d_{nm} = |x_n - t_m|$.
    Shapes: samples (N, ...), train (M, ...); result (N, count) twice.
    Units: distances in those of the images, both in the same: for pixels in 0 .. 1, as `data.to_float` gives, of 28 x
        28 the largest possible is 28.
    Raises: ValueError for other shapes, numbers that are not finite, or a count outside 1 .. M.

    >>> nearest_neighbours(np.array([[0.0, 0.0]]), np.array([[9.0, 0.0], [3.0, 4.0]]))
    Neighbours(indices=array([[1]]), distances=array([[5.]]))
    """
    x, y = _flat("nearest_neighbours", "samples", samples), _flat("nearest_neighbours", "train", train, samples)
    count = whole_number("nearest_neighbours: count", count, 1)
    if count > len(y):
        raise ValueError(f"nearest_neighbours: count expects at most the {len(y)} of train; it is {count}")
    return _nearest(x, y, count)


class NearestDistances(NamedTuple):
    """From each sample to the nearest image of two sets, of which a model has seen but one."""

    train: np.ndarray
    """(N,): to the nearest that the model was trained on."""
    held_out: np.ndarray
    """(N,): to the nearest that it never saw."""
    expected_share: float
    """M / (M + K): the `share_nearest_train` of samples that know no more of the one set than of the other."""

    @property
    def share_nearest_train(self) -> float:
        """The share of samples to which a training image lies nearest of all. Of equal distances each counts half."""
        return float((self.train < self.held_out).mean() + 0.5 * (self.train == self.held_out).mean())

    def copied_share(self, factor: float = 0.5) -> float:
        """The share of samples that lie to a training image less than `factor` as far as to any held-out one."""
        return float((self.train < factor * self.held_out).mean())


def nearest_distances(samples: Any, train: Any, held_out: Any) -> NearestDistances:
    r"""Whether samples are copies: from each to the nearest training image, and to the nearest held-out one.

    Formula: $\min_m |x_n - t_m|$ and $\min_k |x_n - h_k|$. Blurred samples are near to everything, so that only the two
        together tell: if the samples owe nothing to single training images, the nearest of all M + K is a training
        image with probability M / (M + K).
    Shapes: samples (N, ...), train (M, ...), held_out (K, ...); result (N,) twice.
    Units: those of the images, all in the same.
    Raises: ValueError for other shapes, or numbers that are not finite.

    >>> found = nearest_distances(np.array([[1.0], [5.0]]), np.array([[1.0], [9.0]]), np.array([[4.0]]))
    >>> found.train, found.held_out, found.share_nearest_train, found.copied_share()
    (array([0., 4.]), array([3., 1.]), 0.5, 0.5)
    """
    name = "nearest_distances"
    x, y = _flat(name, "samples", samples), _flat(name, "train", train, samples)
    z = _flat(name, "held_out", held_out, samples)
    to_train, to_held_out = (_nearest(x, others, 1).distances[:, 0] for others in (y, z))
    return NearestDistances(to_train, to_held_out, len(y) / (len(y) + len(z)))


# ---- modes of a mixture


class ModeCoverage(NamedTuple):
    """Where samples of a mixture lie."""

    shares: np.ndarray
    """(K,): of samples that lie nearest to each centre."""
    good: float
    """The share of samples within 3 sigma of their centre."""

    def covered(self, least: float = 0.05) -> int:
        """How many modes have at least this share of the samples."""
        return int((self.shares >= least).sum())


def mode_coverage(points: Any, centres: Any, sigma: float) -> ModeCoverage:
    r"""Which modes of a mixture of equal, round normal distributions samples reach, and how many lie at one of them.

    Formula: $p_k = \frac{1}{N} |\{n : \arg\min_j |x_n - c_j| = k\}|$, and the share of n with $\min_j |x_n - c_j| \le 3
        \sigma$. In two dimensions $1 - e^{-9/2} = 98.9 \%$ of a true sample is good.
    Shapes: points (N, D), centres (K, D); shares (K,).
    Units: points, centres and sigma (standard deviation along each axis) in the same.
    Raises: ValueError for other shapes, numbers that are not finite, or a sigma that is not above 0.

    >>> mode_coverage([[0.1, 0.0], [9.0, 0.0], [0.0, 0.2], [4.0, 0.0]], [[0.0, 0.0], [9.0, 0.0], [0.0, 9.0]], 0.1)
    ModeCoverage(shares=array([0.75, 0.25, 0.  ]), good=0.75)
    """
    x, y = _features("mode_coverage", "points", points, 1), _features("mode_coverage", "centres", centres, 1)
    if x.shape[1] != y.shape[1]:
        raise ValueError(
            f"mode_coverage: points {x.shape} expects centres of shape (K, {x.shape[1]}); they are {y.shape}"
        )
    if not (sigma > 0 and np.isfinite(sigma)):
        raise ValueError(f"mode_coverage: sigma expects a number above 0; it is {sigma}")
    found = _nearest(x, y, 1)
    shares = np.bincount(found.indices[:, 0], minlength=len(y)) / len(x)
    return ModeCoverage(shares, float((found.distances[:, 0] <= 3 * sigma).mean()))


# ---- what they share


def _nearest(x: np.ndarray, y: np.ndarray, count: int) -> Neighbours:
    """By |x|^2 + |y|^2 - 2 x y, part by part; the nearest are then measured by their differences, without rounding."""
    squares = (y * y).sum(axis=1)
    candidates = min(len(y), count + 4)  # rounding may change the order of those that are nearly equal
    indices, distances = np.empty((len(x), count), np.int64), np.empty((len(x), count))
    for first in range(0, len(x), 256):
        part = x[first : first + 256]
        rough = squares - 2.0 * (part @ y.T)
        near = np.sort(np.argpartition(rough, candidates - 1, axis=1)[:, :candidates], axis=1)
        exact = np.sqrt(((part[:, None] - y[near]) ** 2).sum(axis=2))
        order = np.argsort(exact, axis=1, kind="stable")[:, :count]
        indices[first : first + 256] = np.take_along_axis(near, order, axis=1)
        distances[first : first + 256] = np.take_along_axis(exact, order, axis=1)
    return Neighbours(indices, distances)


def _root(covariance: np.ndarray) -> np.ndarray:
    """The symmetric square root; what rounding made negative counts as 0."""
    values, vectors = np.linalg.eigh(covariance)
    return (vectors * np.sqrt(np.maximum(values, 0.0))) @ vectors.T


def _variance(x: np.ndarray) -> float:
    """The sum of the variances of all numbers; NaN where there are not two samples."""
    return float(x.var(axis=0, ddof=1).sum()) if len(x) > 1 else float("nan")


def _logits(name: str, logits: Any) -> np.ndarray:
    return _finite(
        name, "logits", np.asarray(_plain(logits)), "(N, C)", lambda shape: len(shape) == 2 and min(shape) > 0
    )


def _features(name: str, argument: str, values: Any, least: int = 2) -> np.ndarray:
    expected = f"(N, D), N >= {least}"
    return _finite(
        name, argument, np.asarray(_plain(values)), expected, lambda s: len(s) == 2 and s[0] >= least and s[1] > 0
    )


def _flat(name: str, argument: str, values: Any, like: Any = None) -> np.ndarray:
    """(N, ...) as (N, numbers), float64; the shape behind the first axis as that of `like`."""
    array = np.asarray(_plain(values))
    behind = array.shape[1:] if like is None else np.shape(_plain(like))[1:]
    expected = f"({', '.join(['N', *map(str, behind)])}), N >= 1" if behind else "(N, ...), N >= 1"
    found = _finite(
        name, argument, array, expected, lambda s: len(s) > 1 and s[1:] == behind and s[0] > 0 and array.size > 0
    )
    return found.reshape(len(found), -1)


def _finite(name: str, argument: str, array: np.ndarray, expected: str, fits: Any) -> np.ndarray:
    """As float64; ValueError for a shape that does not fit, or numbers that are not finite."""
    if not fits(array.shape) or array.dtype.kind not in "biuf":
        raise ValueError(
            f"{name}: {argument} expects numbers of shape {expected}; it is {array.dtype} of shape {array.shape}"
        )
    array = array.astype(np.float64)
    if not np.isfinite(array).all():
        raise ValueError(f"{name}: {argument} expects finite numbers; {(~np.isfinite(array)).sum()} are not")
    return array


def _classes(name: str, argument: str, labels: Any, count: int) -> np.ndarray:
    labels = np.asarray(_plain(labels))
    if labels.shape != (count,) or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise ValueError(
            f"{name}: {argument} expects a class from 0 on for each of {count}; "
            f"it is {labels.dtype} of shape {labels.shape}"
        )
    return labels
