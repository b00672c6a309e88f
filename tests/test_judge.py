"""The judge of digits: real digits pass, and each way of being bad shows in the figure that is meant for it."""

import json

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import data


@pytest.fixture(scope="module")
def train():
    return data.mnist5k("train")


@pytest.fixture(scope="module")
def moved(train):
    """Digits that are none of the training digits: each moved by two pixels."""
    return np.roll(train.images[:1000], 2, axis=3)


def test_real_digits_and_what_stands_beside_them(train, moved):
    report = mt.judge_digits(moved, train.labels[:1000])
    real = report.real
    assert real.recognised > 0.98 and real.confident > 0.95
    assert 0.09 < min(real.class_shares) and max(real.class_shares) < 0.11 and real.class_entropy > 2.3
    assert 0.9 < real.spread_of_pixels < 1.1 and 0.9 < real.spread_of_features < 1.1
    assert real.share_nearest_train == pytest.approx(report.expected_share_nearest_train, abs=0.05)
    assert real.copied < 0.01 and real.nearest_train < real.nearest_held_out
    samples = report.samples
    assert samples.recognised > 0.9 and samples.copied < 0.05
    assert 0.8 < samples.spread_of_pixels < 1.2
    told = str(report)
    assert "recognised as the class asked for" in told and "Frechet distance" in told and "FID" not in told
    assert json.loads(report.to_json())["samples"]["recognised"] == samples.recognised
    assert "asked for" not in str(mt.judge_digits(moved))


def test_each_fault_is_found_out(train, moved):
    wrong = mt.judge_digits(moved, (train.labels[:1000] + 1) % 10).samples
    assert wrong.recognised < 0.1 and wrong.confident > 0.8
    copies = mt.judge_digits(train.images[2000:3000]).samples
    assert copies.copied == copies.share_nearest_train == 1.0 and copies.nearest_train == 0.0
    collapsed = mt.judge_digits(np.repeat(moved[:10], 100, axis=0)).samples
    assert collapsed.spread_of_pixels < 0.6 and collapsed.class_entropy < 2.2
    faint = data.to_float(moved) * 0.2
    assert mt.judge_digits(faint).samples.frechet_distance > 10 * mt.judge_digits(faint).real.frechet_distance


def test_bytes_and_shares_are_judged_alike_and_the_first_thousand_count(moved):
    report = mt.judge_digits(moved)
    assert mt.judge_digits(mt.Tensor(data.to_float(moved))) == report
    assert mt.judge_digits(np.concatenate([moved, moved[:50]])) == report


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x: (x[:999], None), r"images expects shape \(N, 1, 28, 28\) with N >= 1,000; it is \(999,"),
        (lambda x: (x[:, 0], None), r"images expects shape \(N, 1, 28, 28\)"),
        (lambda x: (x.astype(np.float32), None), r"uint8 in 0 .. 255 or floats in 0 .. 1; it is float32 in 0.0 .. 255"),
        (lambda x: (x * np.nan, None), "floats in 0 .. 1; it is float"),
        (lambda x: (x, np.zeros(10, int)), r"labels expects a digit for each sample; it is int64 of shape \(10,\)"),
    ],
)
def test_what_does_not_fit_is_said(moved, change, message):
    with pytest.raises(ValueError, match="judge_digits: .*" + message):
        mt.judge_digits(*change(moved))
