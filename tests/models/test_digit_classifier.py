"""The judge of digits: its layers against torch, and the weights that come with the package."""

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import data, models
from minitorch_cv.training import topk_accuracy
from minitorch_cv.weights import load_weights, trained_weights


def test_it_equals_its_twin(assert_equals_twin, rng):
    assert_equals_twin(
        "digit_classifier",
        rng.standard_normal((3, 2, 17, 17)),
        num_classes=4,
        in_channels=2,
        width=5,
        features=6,
        input_size=17,
        dropout=0.0,
    )


def test_the_logits_are_decided_by_the_features(rng):
    net = models.digit_classifier(generator=mt.Generator(0)).eval()
    x = mt.Tensor(rng.random((3, 1, 28, 28), dtype=np.float32))
    features = net.features(x)
    assert features.shape == (3, 64) and (features.numpy() >= 0).all()
    np.testing.assert_array_equal(net.decide(features).numpy(), net(x).numpy())
    assert sum(p.size for p in net.parameters()) < 120_000


def test_dropout_is_for_training_alone(rng):
    net = models.digit_classifier(generator=mt.Generator(0))
    x = mt.Tensor(rng.random((2, 1, 28, 28), dtype=np.float32))
    assert not np.array_equal(net(x).numpy(), net(x).numpy())
    net.eval()
    np.testing.assert_array_equal(net(x).numpy(), net(x).numpy())


def test_a_small_image_is_refused():
    with pytest.raises(ValueError, match="DigitClassifier: input_size expects 8 or more; it is 7"):
        models.digit_classifier(input_size=7)


def test_the_shipped_one_reads_over_98_percent_of_the_held_out_digits():
    path = trained_weights("digit_classifier")
    assert path.stat().st_size < 250_000
    net = models.digit_classifier()
    load_weights(net, path)
    net.eval()
    test = data.mnist5k("test")
    with mt.no_grad():
        logits = net(mt.Tensor(data.to_float(test.images))).numpy()
    assert logits.dtype == np.float32
    accuracy = topk_accuracy(logits, test.labels)
    print(f"digit_classifier: {accuracy:.1%} of 1,000 held-out digits")
    assert accuracy > 0.98
