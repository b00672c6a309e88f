"""Attention where cases do not reach: huge scores, infinite masks, queries that see nothing."""

import numpy as np

import minitorch_cv as mt
from minitorch_cv import ops


def _qkv(rng, *shapes):
    return [mt.Tensor(rng.standard_normal(shape), requires_grad=True) for shape in shapes]


def test_a_query_that_sees_no_key_gets_zeros_and_gives_no_gradient(rng):
    query, key, value = _qkv(rng, (3, 4), (5, 4), (5, 2))
    for mask in (np.zeros((3, 5), bool), np.full((3, 5), -np.inf)):
        mask[0] = mask.dtype.type(1)
        y = ops.scaled_dot_product_attention(query, key, value, mask)
        gradients = mt.grad(y, [query, key, value], upstream=mt.Tensor(rng.standard_normal((3, 2))))
        assert not y.numpy()[1:].any()
        assert not gradients[0].numpy()[1:].any()
        assert gradients[0].numpy()[0].any()
        assert all(np.isfinite(g.numpy()).all() for g in gradients)


def test_a_boolean_mask_is_an_added_one_of_minus_infinity(rng):
    query, key, value = rng.standard_normal((3, 4)), rng.standard_normal((5, 4)), rng.standard_normal((5, 2))
    mask = rng.random((3, 5)) < 0.6
    added = np.where(mask, 0.0, -np.inf)
    one, other = (ops.scaled_dot_product_attention(query, key, value, m) for m in (mask, added))
    assert (one == other).all()


def test_huge_scores(rng):
    query, key, value = _qkv(rng, (3, 4), (5, 4), (5, 2))
    y = ops.scaled_dot_product_attention(query, key, value, scale=1e4)
    gradients = mt.grad(y, [query, key, value], upstream=mt.Tensor(rng.standard_normal((3, 2))))
    best = (query.numpy() @ key.numpy().T).argmax(-1)
    assert np.allclose(y.numpy(), value.numpy()[best])
    assert all(np.isfinite(g.numpy()).all() for g in gradients)


def test_causal_attention_does_not_look_ahead(rng):
    query, key, value = rng.standard_normal((4, 3)), rng.standard_normal((4, 3)), rng.standard_normal((4, 2))
    before = ops.scaled_dot_product_attention(query, key, value, is_causal=True)
    key[2:], value[2:] = 7.0, -7.0
    after = ops.scaled_dot_product_attention(query, key, value, is_causal=True)
    assert (before[:2] == after[:2]).all()
    assert (before[2:] != after[2:]).any()


def test_dropout_of_the_weights_is_fixed_by_its_generator(rng):
    operands = _qkv(rng, (3, 4), (50, 4), (50, 2))
    draw = [ops.scaled_dot_product_attention(*operands, dropout_p=0.5, generator=mt.Generator(s)) for s in (1, 1, 2)]
    assert (draw[0].numpy() == draw[1].numpy()).all()
    assert (draw[0].numpy() != draw[2].numpy()).any()


def test_float32_stays_float32(rng):
    operands = [rng.standard_normal((3, 4)).astype(np.float32) for _ in range(3)]
    for settings in ({}, {"is_causal": True}, {"dropout_p": 0.5, "generator": mt.Generator(0)}):
        assert ops.scaled_dot_product_attention(*operands, **settings).dtype == np.float32
