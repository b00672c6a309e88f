"""What exercises are judged by is true: gradients agree with differences, values with the package or brute force."""

import math

import numpy as np
import pytest

import minitorch_cv as mt
from minitorch_cv import check_gradient, data, models, nn, ops, optim
from minitorch_cv.course.answers import difference
from minitorch_cv.course.checks import Derivation, Gradient, Property, Values, generator
from minitorch_cv.course.exercise import all_exercises, find_exercise

CHECKS = [
    pytest.param(exercise, check, id=f"{exercise.name}-{check.function}")
    for exercise in all_exercises()
    for check in exercise.checks
]
SEEDS = (11, 12)


def of_kind(kind):
    return [param for param in CHECKS if isinstance(param.values[1], kind)]


@pytest.mark.parametrize("exercise, check", of_kind(Gradient))
def test_gradients_agree_with_differences(exercise, check):
    forward, backward = getattr(exercise.reference, check.of), getattr(exercise.reference, check.function)
    for seed in SEEDS:
        for inputs in check.draw(generator(seed, exercise.name, check.function)):
            gradients = backward(np.ones_like(forward(*inputs)), *inputs)
            report = check.report(forward, backward, tuple(inputs), gradients, seed=seed)
            assert report, report.text()


@pytest.mark.parametrize("exercise, check", of_kind((Derivation, Property)))
def test_derivations_are_right_in_every_line_and_answers_have_their_property(exercise, check):
    for seed in SEEDS:
        for case in check.cases(exercise.reference, generator(seed, exercise.name, check.function)):
            verdict = case.judge(case.ask(exercise.reference), exercise.reference)
            assert verdict.credit == 1.0, verdict.detail


@pytest.mark.parametrize("exercise, check", of_kind((Gradient, Values)))
def test_answers_change_with_the_seed(exercise, check):
    here, there = (
        [case.expected for case in check.cases(exercise.reference, generator(seed, exercise.name, check.function))]
        for seed in SEEDS
    )
    same = sum(not difference(one, other) for one, other in zip(here, there, strict=True))
    assert 2 * same <= len(here)


# ---- values, against the package and against brute force


def cases(name, function, seed=5):
    """The reference and the arguments of each case of one function."""
    exercise = find_exercise(name)
    check = next(one for one in exercise.checks if one.function == function)
    return getattr(exercise.reference, function), list(check.draw(generator(seed, name, function)))


def check(given, expected):
    np.testing.assert_allclose(given, expected, rtol=1e-9, atol=1e-12)


def test_running_statistics():
    batch_norm, drawn = cases("batch_norm_running_statistics", "batch_norm")
    for x, mean, var, weight, bias, training, momentum, eps in drawn:
        running = mt.Tensor(mean.copy()), mt.Tensor(var.copy())
        y = ops.batch_norm(
            mt.Tensor(x), *running, mt.Tensor(weight), mt.Tensor(bias), training=training, momentum=momentum, eps=eps
        )
        found = batch_norm(x, mean, var, weight, bias, training, momentum, eps)
        for given, expected in zip(found, (y, *running), strict=True):
            check(given, expected.numpy())


def test_folded_batch_norm_gives_the_same():
    fold, drawn = cases("fold_batch_norm", "fold_batch_norm")
    for kernel, bias, mean, var, gamma, beta, eps in drawn:
        x = np.random.default_rng(0).standard_normal((2, kernel.shape[1], 5, 6))
        y = ops.batch_norm(ops.conv2d(x, kernel, bias), mean, var, gamma, beta, eps=eps)
        check(ops.conv2d(x, *fold(kernel, bias, mean, var, gamma, beta, eps)), y)


def test_identity_block_is_the_identity():
    identity, drawn = cases("identity_block", "identity_block")
    for mean, var, size, eps in drawn:
        x = np.random.default_rng(0).standard_normal((2, len(mean), 4, 5))
        kernel, gamma, beta = identity(mean, var, size, eps)
        check(ops.batch_norm(ops.conv2d(x, kernel, padding=size // 2), mean, var, gamma, beta, eps=eps), x)


def test_kaiming_keeps_the_scale_and_signal_predicts_it():
    kaiming_std, drawn = cases("kaiming_initialisation", "kaiming_std")
    rng = np.random.default_rng(0)
    for shape, mode, slope in drawn:
        inputs, outputs = math.prod(shape[1:]), shape[0] * math.prod(shape[2:])
        y = rng.standard_normal((100, inputs if mode == "fan_in" else outputs))
        weights = kaiming_std(shape, mode, slope) * rng.standard_normal((2000, y.shape[1]))
        kept = (np.where(y > 0, y, slope * y) if mode == "fan_in" else y) @ weights.T
        kept = kept if mode == "fan_in" else kept * np.where(rng.random(kept.shape) < 0.5, 1, slope)
        assert abs((kept**2).mean() - 1) < 0.1
    signal, drawn = cases("kaiming_initialisation", "signal")
    shapes, stds, slope = [(700, 300), (700, 700), (700, 700)], [0.05, 0.03, 0.06], 0.3
    x = math.sqrt(2) * rng.standard_normal((100, 300))
    for number, (shape, std, expected) in enumerate(zip(shapes, stds, signal(shapes, stds, slope, 2.0))):
        x = (np.where(x > 0, x, slope * x) if number else x) @ (std * rng.standard_normal(shape).T)
        assert abs(np.sqrt((x**2).mean()) / expected - 1) < 0.05


def test_noise_schedules():
    cosine, drawn = cases("noise_schedule", "cosine_betas")
    for arguments in drawn:
        check(cosine(*arguments), models.cosine_schedule(*arguments))
    respaced, _ = cases("noise_schedule", "respaced_betas")
    whole = models.Diffusion(None, np.linspace(0.01, 0.2, 13))
    check(respaced(whole.betas, np.array([1, 4, 7, 10, 13])), whole.respaced(5).betas)


def test_leaps_lead_to_the_same_place():
    between, drawn = cases("forward_diffusion", "between")
    merged, _ = cases("forward_diffusion", "merged")
    for x, s, t, noise, betas in drawn:
        x_s, first = between(x, 0 * s, s + 1, noise, betas), noise[::-1].copy()
        x_t = between(x_s, s + 1, t + 1, first, np.append(betas, 0.1))
        alone = merged(noise, first, s + 1, t + 1, np.append(betas, 0.1))
        check(between(x, 0 * s, t + 1, alone, np.append(betas, 0.1)), x_t)
    x, n = np.full((1, 4), 0.7), np.ones((1, 4))
    for beta in (0.1, 0.2, 0.3):
        x = np.sqrt(1 - beta) * x
    check(between(np.full((1, 4), 0.7), np.array([1]), np.array([4]), 0 * n, np.array([0.5, 0.1, 0.2, 0.3])), x)


def test_posterior_is_that_of_bayes_on_a_grid():
    posterior, drawn = cases("diffusion_posterior", "posterior")
    y = np.linspace(-12, 12, 48_001)
    for x_0, x_t, s, t, betas in drawn:
        mean, variance = posterior(x_0, x_t, s, t, betas)
        abar = np.append(1.0, np.cumprod(1 - betas))
        for n in np.flatnonzero(s > 0):
            alpha = np.prod(1 - betas[s[n] : t[n]])
            log = -((x_t[n, 0] - np.sqrt(alpha) * y) ** 2) / (2 * (1 - alpha))
            log -= (y - np.sqrt(abar[s[n]]) * x_0[n, 0]) ** 2 / (2 * (1 - abar[s[n]]))
            p = np.exp(log - log.max())
            p /= p.sum()
            assert abs(p @ y - mean[n, 0]) < 1e-6 and abs(p @ (y - p @ y) ** 2 - variance[n]) < 1e-6
        for n in np.flatnonzero(s == 0):
            check(mean[n], x_0[n])
            assert abs(variance[n]) < 1e-15
        process, one = models.Diffusion(None, betas), np.ones(len(t), int)
        by_package, _ = process.posterior(mt.Tensor(x_0), mt.Tensor(x_t), one)
        check(posterior(x_0, x_t, one, one + 1, betas)[0], by_package.numpy())


def test_ddim_is_the_package_s_sampler():
    step, _ = cases("ddim_step", "ddim_step")
    betas, generator_of = np.linspace(0.05, 0.3, 9), lambda: mt.Generator(3)
    for eta, clip in ((0.0, True), (0.7, False), (1.0, True)):
        process = models.Diffusion(lambda x, t: 0.4 * x, betas, clip=clip)
        source, abar = generator_of(), process.alpha_bars
        walk = list(process.ddim((3, 2), steps=4, eta=eta, generator=generator_of()))
        source.normal((3, 2))
        for now, after in zip(walk, walk[1:]):
            x, to = now.x.numpy().astype(np.float64), 1.0 if after.t < 0 else abar[after.t]
            z = source.normal((3, 2)) if eta and after.t >= 0 else np.zeros((3, 2))
            found = step(x, 0.4 * x, abar[now.t], to, eta, z, clip)
            np.testing.assert_allclose(found, after.x.numpy(), rtol=1e-4, atol=1e-5)


def test_v_prediction():
    turned_back, drawn = cases("v_prediction", "picture_and_noise")
    factors, _ = cases("v_prediction", "loss_factors")
    for x_t, v, abar in drawn:
        column = abar.reshape(-1, *[1] * (x_t.ndim - 1))
        x_0, noise = turned_back(x_t, v, abar)
        check(np.sqrt(column) * x_0 + np.sqrt(1 - column) * noise, x_t)
        check(np.sqrt(column) * noise - np.sqrt(1 - column) * x_0, v)
        other = turned_back(x_t, v[::-1], abar)
        sums = lambda a: (a**2).reshape(len(a), -1).sum(axis=1)
        a, b = factors(abar)
        check(a * sums(x_0 - other[0]), sums(v - v[::-1]))
        check(b * sums(noise - other[1]), sums(v - v[::-1]))


def test_guided_density_on_a_grid():
    density, drawn = cases("classifier_free_guidance", "guided_density")
    x = np.linspace(-80, 80, 400_001)
    for m, v, V, s in drawn:
        log = -(1 - s) * x**2 / (2 * V) - s * (x - m) ** 2 / (2 * v)
        p = np.exp(log - log.max())
        p /= p.sum()
        np.testing.assert_allclose(density(m, v, V, s), (p @ x, p @ (x - p @ x) ** 2), rtol=1e-6, atol=1e-9)


def test_adam_is_adamw():
    adam, drawn = cases("adam_step", "adam")
    for parameter, gradients, lr, betas, eps, decay in drawn:
        tensor = mt.Tensor(parameter.copy(), requires_grad=True)
        optimizer = optim.AdamW([tensor], lr, betas, eps, decay)
        for g in gradients:
            optimizer.zero_grad()
            tensor.backward(g)
            optimizer.step()
        check(adam(parameter, gradients, lr, betas, eps, decay), tensor.numpy())


def test_weights_of_an_average():
    for name in ("averaging_weights", "averaging_weights_with_warm_up"):
        weights, drawn = cases("exponential_moving_average", name)
        for steps, decay in drawn:
            parameters = np.random.default_rng(0).standard_normal(steps + 1)
            average = parameters[0]
            for k in range(1, steps + 1):
                now = min(decay, (1 + k) / (10 + k)) if name.endswith("up") else decay
                average = now * average + (1 - now) * parameters[k]
            check(weights(steps, decay) @ parameters, average)


def test_divergence_of_gaussians_by_quadrature():
    kl, drawn = cases("kl_between_gaussians", "kl")
    z = np.linspace(-30, 30, 60_001)
    for mu, l, m, k in drawn:
        log = lambda mean, log_variance: (
            -0.5 * ((z - mean) ** 2 / np.exp(log_variance) + log_variance + np.log(2 * np.pi))
        )
        for n, found in enumerate(kl(mu, l, m, k)):
            terms = [
                (np.exp(log(a, b)) * (log(a, b) - log(c, d))).sum() * (z[1] - z[0])
                for a, b, c, d in zip(mu[n], l[n], m[n], k[n])
            ]
            assert abs(sum(terms) - found) < 1e-8
        check(kl(mu, l, 0 * m, 0 * k), ops.gaussian_kl(mu, l, "none"))


def test_cross_entropy_with_logits():
    reconstruction, drawn = cases("binary_cross_entropy_with_logits", "reconstruction")
    for a, x, w in drawn:
        expected = ops.binary_cross_entropy_with_logits(a, x, reduction="sum", pos_weight=w) / len(a)
        check(reconstruction(a, x, w), expected)


def test_estimators_are_right_on_average_and_the_best_baseline_is_best():
    reference = find_exercise("score_function_estimator").reference
    rng = np.random.default_rng(0)
    eps, l, mu = rng.standard_normal((400_000, 2)), np.array([-0.5, 0.4]), np.array([0.3, -1.0])
    z = mu + np.exp(l / 2) * eps
    f, exact = 3 + (z**2).sum(axis=1), (2 * mu, np.exp(l))
    for estimate in (reference.score_function(f, eps, l, 4.0), reference.reparameterised(2 * z, eps, l)):
        for given, expected in zip(estimate, exact):
            assert abs(given - expected).max() < 0.06
    for j, best in enumerate(reference.best_baselines(f, eps, l)):
        spread = lambda b, j=j: ((f - b) * eps[:, j]).std()
        assert spread(best) < min(spread(best - 0.3), spread(best + 0.3), spread(f.mean()))


def test_importance_weighted_bound():
    bound, drawn = cases("importance_weighted_bound", "bound")
    for (w,) in drawn:
        check(bound(w), (np.logaddexp.reduce(w, axis=1) - np.log(w.shape[1])).mean())


def test_best_discriminator_and_its_value():
    reference = find_exercise("optimal_discriminator").reference
    _, drawn = cases("optimal_discriminator", "optimal_discriminator")
    for p, p_G, share in drawn:
        best = reference.optimal_discriminator(p, p_G, share)
        value = reference.value(best, p, p_G, share)
        entropy = -share * np.log(share) - (1 - share) * np.log(1 - share)
        check(value, reference.jensen_shannon(p, p_G, share) - entropy)
        both = (p > 0) & (p_G > 0)
        for moved in (0.01, -0.01):
            assert reference.value(np.where(both, best + moved, best), p, p_G, share) < value


def test_power_iteration_finds_the_largest_singular_value():
    power_iteration, drawn = cases("spectral_norm", "power_iteration")
    for W, u, _ in drawn:
        check(power_iteration(W, u, 500)[2], np.linalg.svd(W.reshape(len(W), -1))[1][0])


def test_transposed_convolution():
    transposed, drawn = cases("transposed_convolution", "conv_transpose2d")
    conv2d = find_exercise("transposed_convolution").reference.conv2d
    for x, weight, stride, padding in drawn:
        y = transposed(x, weight, stride, padding)
        check(y, ops.conv_transpose2d(x, weight, stride=stride, padding=padding))
        image = np.random.default_rng(0).standard_normal(y.shape)
        check((conv2d(image, weight, stride, padding) * x).sum(), (image * y).sum())


def test_score_of_a_mixture_by_differences():
    best_noise, drawn = cases("score_of_a_mixture", "best_noise")
    for x, abar, centers, spreads, shares in drawn:
        variances, d = abar * spreads**2 + 1 - abar, x.shape[1]

        def log_density(x, c=centers, V=variances, d=d, abar=abar, shares=shares):
            squares = ((x[:, None] - np.sqrt(abar) * c) ** 2).sum(axis=2)
            return np.logaddexp.reduce(np.log(shares) - squares / (2 * V) - d / 2 * np.log(V), axis=1)

        moves = 1e-5 * np.eye(d)
        score = np.stack([(log_density(x + h) - log_density(x - h)) / 2e-5 for h in moves], axis=1)
        found = best_noise(x, abar, centers, spreads, shares)
        np.testing.assert_allclose(found, -np.sqrt(1 - abar) * score, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("seed", [0, 1])
def test_col2im_is_the_adjoint_of_im2col(seed):
    rng = generator(seed, "references")
    module = find_exercise("col2im").reference
    for columns, shape, *plan in module.draw(rng):
        x = rng.standard_normal(shape)
        there, back = module.im2col(x, *plan), module.col2im(columns, shape, *plan)
        assert back.shape == shape and np.isclose((there * columns).sum(), (x * back).sum(), rtol=1e-12)
        assert np.array_equal(there, find_exercise("im2col").reference.im2col(x, *plan))


def test_ledgers_are_those_of_the_published_nets():
    module = find_exercise("parameters_and_multiply_adds").reference
    parameters, multiply_adds = module.ledger((3, 224, 224), module.VGG16)
    assert (sum(parameters), sum(multiply_adds)) == (138_357_544, 15_470_264_320)
    assert sum(module.ledger((3, 224, 224), module.ALEXNET)[0]) == 60_965_224


@pytest.mark.parametrize("seed", [0, 1])
def test_the_way_back_by_the_rule_of_the_gradient_is_the_gradient(seed):
    module = find_exercise("max_unpool_with_switches").reference
    for dy, x, weight, size, stride, rule in module.draw(generator(seed, "references")):
        forward = lambda x, w=weight, s=(size, stride): module.max_pool2d(np.maximum(module.conv2d(x, w), 0), *s)[0]
        backward = lambda dy, x, w=weight, s=(size, stride): module.send_back(dy, x, w, *s, "gradient")
        assert (report := check_gradient(forward, backward, (x,), seed=seed)), report.text()
        pattern, gradient = module.send_back(dy, x, weight, size, stride, rule), backward(dy, x)
        assert np.array_equal(pattern, gradient) == (rule == "gradient")


# ---- lessons 00 to 03 and 09: forwards and values against the package


def forwards(name, function):
    """The forward of a `Gradient` check and its inputs, case by case."""
    exercise = find_exercise(name)
    gradient = next(one for one in exercise.checks if one.function == function)
    return getattr(exercise.reference, gradient.of), list(gradient.draw(generator(5, name, function)))


def test_convolutions_are_those_of_the_package():
    conv2d, drawn = cases("im2col", "conv2d")
    for x, weight, stride, padding in drawn:
        check(conv2d(x, weight, stride, padding), ops.conv2d(x, weight, stride=stride, padding=padding))
    conv2d, drawn = forwards("conv2d_strided_gradients", "conv2d_backward")
    for x, weight, bias, *plan in drawn:
        check(conv2d(x, weight, bias, *plan), ops.conv2d(x, weight, bias, *plan))
    conv2d, drawn = forwards("conv2d_grouped_gradients", "conv2d_backward")
    for x, weight, groups in drawn:
        check(conv2d(x, weight, groups), ops.conv2d(x, weight, groups=groups))
    faulty = find_exercise("find_faults_conv2d").reference
    rng = np.random.default_rng(0)
    x, weight, bias = rng.standard_normal((2, 3, 6, 7)), rng.standard_normal((4, 3, 3, 2)), rng.standard_normal(4)
    y = faulty.forward(x, weight, bias, 2, 1)
    dy = rng.standard_normal(y.shape)
    check(y, ops.conv2d(x, weight, bias, 2, 1))
    check(faulty.backward(dy, x, weight, bias, 2, 1)[0], ops.conv2d_input_gradient(dy, weight, x.shape, 2, 1))


def test_winograd_is_a_convolution_where_its_matrices_are_true():
    winograd, drawn = cases("winograd_conv2d", "winograd_conv2d")
    agree = [np.allclose(winograd(x, w, *matrices), ops.conv2d(x, w)) for x, w, *matrices in drawn]
    assert agree == [True, True, True, False, False]


def test_layers_are_those_of_the_package():
    norm, drawn = forwards("local_response_norm_backward", "local_response_norm_backward")
    for x, *settings in drawn:
        check(norm(x, *settings), ops.local_response_norm(x, *settings))
    pool, drawn = forwards("adaptive_average_pool_backward", "adaptive_average_pool_backward")
    for x, size in drawn:
        check(pool(x, size), ops.adaptive_avg_pool2d(x, size))
    loss, drawn = forwards("softmax_cross_entropy_backward", "cross_entropy_backward")
    for z, labels, epsilon in drawn:
        check(loss(z, labels, epsilon), ops.cross_entropy(z, labels, label_smoothing=epsilon))
    module = find_exercise("max_unpool_with_switches").reference
    a = np.random.default_rng(0).permutation(2 * 3 * 6 * 4).reshape(2, 3, 6, 4) * 0.1
    (y, switches), (expected, indices) = module.max_pool2d(a, 2, 2), ops.max_pool2d(a, 2, return_indices=True)
    check(y, expected)
    assert np.array_equal(switches, indices)
    check(module.max_unpool2d(y, switches, 6, 4), ops.max_unpool2d(y, indices, 2))


def test_steps_of_momentum():
    step, drawn = cases("sgd_momentum_step", "torch_step")
    for weight, velocity, gradient, lr, momentum, weight_decay in drawn:
        if velocity.any():
            continue
        parameter = mt.Tensor(weight.copy(), requires_grad=True)
        optimizer = optim.SGD([parameter], lr=lr, momentum=momentum, weight_decay=weight_decay)
        for _ in range(3):
            weight, velocity = step(weight, velocity, gradient, lr, momentum, weight_decay)
            parameter.grad = mt.Tensor(gradient)
            optimizer.step()
        check(parameter.numpy(), weight)
    module = find_exercise("sgd_momentum_step").reference
    weight, buffer, gradient = np.random.default_rng(0).standard_normal((3, 4))
    velocity = module.velocity_of_buffer(buffer, 0.1, 0.01)
    paper, ours = (
        step(weight, state, gradient, 0.01, 0.9, 0.1)[0]
        for step, state in ((module.alexnet_step, velocity), (module.torch_step, buffer))
    )
    check(paper, ours)


def test_ten_crops():
    crops, drawn = cases("ten_crop", "ten_crops")
    for image, size in drawn:
        image = image.astype(np.float32)
        assert np.array_equal(crops(image, size), data.TenCrop(size)(image[None])[0])


def test_top_k_error_in_the_worst_order():
    error, drawn = cases("top_k_error", "top_k_error")
    for scores, labels, k in drawn:
        hits = 0
        for row, label in zip(scores, labels):
            worst = sorted(range(len(row)), key=lambda c: (-row[c] if row[c] == row[c] else math.inf, c == label))
            hits += label in worst[:k] and not math.isnan(row[label])
        assert error(scores, labels, k) == pytest.approx(1 - hits / len(labels))


def test_bottlenecks_by_the_ledger():
    cost, drawn = cases("bottleneck_cost", "cost")
    assert cost(192, 32, 5, 28, 1, 16) == (120_422_400, 12_443_648)
    for C, O, k, side, stride, r in drawn:
        direct = nn.Sequential(nn.Conv2d(C, O, k, stride, padding=k // 2, bias=False))
        reduced = nn.Sequential(nn.Conv2d(C, r, 1, bias=False), nn.Conv2d(r, O, k, stride, padding=k // 2, bias=False))
        counted = tuple(models.ledger(net, (1, C, side, side)).multiply_adds for net in (direct, reduced))
        assert cost(C, O, k, side, stride, r) == counted
    widest, drawn = cases("bottleneck_cost", "widest_bottleneck")
    for *plan, n in drawn:
        r = widest(*plan, n)
        assert all(n * cost(*plan, other)[1] <= cost(*plan, other)[0] for other in (max(r, 0), 0))
        assert n * cost(*plan, r + 1)[1] > cost(*plan, r + 1)[0]


def test_strides_are_those_of_numpy():
    strides, drawn = cases("memory_layout", "strides")
    for shape, order, itemsize in drawn:
        lengths = [shape["NCHW".index(axis)] for axis in order]
        view = np.empty(lengths, f"V{itemsize}").transpose([order.index(axis) for axis in "NCHW"])
        assert view.shape == shape and strides(shape, order, itemsize) == view.strides
