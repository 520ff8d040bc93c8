"""fit_network: what it does to weights, and what it leaves alone."""

from __future__ import annotations

import logging
import subprocess
import sys
from itertools import chain

import numpy as np
import pytest
import torch
from torch import nn

from forecast_core.errors import ConfigError, InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.run import Run
from forecast_core.training import DivergenceError, LossTerms, TrainingOptions, epoch_order, fit_network


class Points:
    """y = x @ w + noise; remembers which windows were asked for."""

    def __init__(self, n=64, *, seed=0, noise=0.1, device="cpu"):
        generator = torch.Generator().manual_seed(seed)
        self.x = torch.randn(n, 3, generator=generator)
        self.y = self.x @ torch.tensor([1.0, -2.0, 0.5]) + noise * torch.randn(n, generator=generator)
        self.asked = []

    def __len__(self):
        return len(self.y)

    def batch(self, index):
        self.asked.append(index.tolist())
        return self.x[index], self.y[index]


class Broken(Points):
    """The last window's target is not a number."""

    def __init__(self, n=64):
        super().__init__(n)
        self.y[-1] = float("nan")


def network(seed=0, *, dropout=0.0):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Dropout(dropout), nn.Linear(8, 1), nn.Flatten(0))


def squared(module, batch):
    x, y = batch
    return (module(x) - y).square().mean()


def options(**changes):
    return TrainingOptions(**{"max_epochs": 3, "batch_size": 16, "learning_rate": 0.01, **changes})


def fit(net=None, source=None, *, seed=0, validation=None, run=None, loss=squared, **changes):
    net = network() if net is None else net
    result = fit_network(
        net, Points() if source is None else source, loss,
        options=options(**changes), seed=seed, validation=validation, run=run,
    )  # fmt: skip
    return net, result


def weights(net):
    return torch.cat([value.flatten() for value in net.state_dict().values()])


class Listener:
    def __init__(self):
        self.epochs, self.metrics = [], []

    def forecast_epoch_finished(self, run, epoch, metrics):
        self.epochs.append(epoch)
        self.metrics.append(dict(metrics))


def test_it_learns():
    net, result = fit(max_epochs=40, learning_rate=0.03, schedule="one-cycle")
    assert result.history[-1].train_loss < 0.05 < result.history[0].train_loss
    assert [record.epoch for record in result.history] == list(range(1, 41))
    assert (result.best_epoch, result.epochs_run, result.stopped_early) == (40, 40, False)
    assert not net.training


def test_it_equals_a_bare_loop_bit_for_bit():
    source = Points()
    net, _ = fit(source=source, max_epochs=2)
    bare = network()
    optimizer = torch.optim.AdamW(bare.parameters(), lr=0.01, weight_decay=0.0)
    for index in source.asked:
        optimizer.zero_grad()
        squared(bare, (source.x[index], source.y[index])).backward()
        optimizer.step()
    assert weights(net).equal(weights(bare))


def test_same_seed_same_weights_other_seed_other_weights():
    same = [weights(fit(network(dropout=0.3), seed=7)[0]) for _ in range(2)]
    other = weights(fit(network(dropout=0.3), seed=8)[0])
    assert same[0].equal(same[1])
    assert not same[0].equal(other)


def test_dropout_follows_the_seed_even_where_the_order_cannot():
    one = Points(1)
    first, second = (weights(fit(network(dropout=0.5), one, seed=seed)[0]) for seed in (1, 2))
    assert not first.equal(second)


def test_dropout_differs_from_epoch_to_epoch():
    masks = []

    class Noted(nn.Dropout):
        def forward(self, x):
            out = super().forward(torch.ones_like(x))
            masks.append(out.flatten().tolist())
            return x * out

    net = nn.Sequential(nn.Linear(3, 32), Noted(0.5), nn.Linear(32, 1), nn.Flatten(0))
    fit(net, Points(1), max_epochs=4)
    assert len(set(map(tuple, masks))) == 4


def test_a_validation_that_samples_draws_the_same_in_every_epoch():
    result = fit_network(
        network(), Points(), squared, options=options(), seed=0,
        validation=Points(8), validation_loss=lambda module, batch: torch.rand(()),
    )  # fmt: skip
    losses = {record.valid_loss for record in result.history}
    assert len(losses) == 1


def test_global_generators_are_left_as_they_were():
    torch.manual_seed(123)
    before = torch.get_rng_state()
    fit(network(dropout=0.5), validation=Points(16, seed=1), ema=0.9)
    assert torch.get_rng_state().equal(before)


def test_the_global_generator_cannot_change_the_result():
    results = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        results.append(weights(fit(network(dropout=0.5))[0]))
    assert results[0].equal(results[1])


def test_windows_per_epoch_are_seeded_and_distinct_and_fresh_each_epoch():
    source, again = Points(64), Points(64)
    fit(source=source, windows_per_epoch=20, batch_size=8, max_epochs=2, seed=5)
    fit(source=again, windows_per_epoch=20, batch_size=8, max_epochs=2, seed=5)
    assert source.asked == again.asked
    assert [len(batch) for batch in source.asked] == [8, 8, 4, 8, 8, 4]
    first, second = (set(chain.from_iterable(source.asked[k : k + 3])) for k in (0, 3))
    assert len(first) == len(second) == 20
    assert first != second


@pytest.mark.parametrize("asked_for", [None, 64, 1000])
def test_an_epoch_never_repeats_a_window(asked_for):
    source = Points(64)
    fit(source=source, windows_per_epoch=asked_for, max_epochs=1)
    assert sorted(chain.from_iterable(source.asked)) == list(range(64))


def test_validation_sees_all_windows_in_order_weighted_by_batch():
    valid = Points(37, seed=3)
    net, result = fit(validation=valid, max_epochs=1)
    assert list(chain.from_iterable(valid.asked)) == list(range(37))
    with torch.no_grad():
        expected = float(squared(net, (valid.x, valid.y)))
    assert result.history[0].valid_loss == pytest.approx(expected, rel=1e-6)


def test_training_loss_is_the_mean_over_windows():
    source = Points(37)
    net = network()
    with torch.no_grad():
        expected = float(squared(net, (source.x, source.y)))
    _, result = fit(net, source, max_epochs=1, learning_rate=1e-12)
    assert result.history[0].train_loss == pytest.approx(expected, rel=1e-5)


def test_validation_runs_without_dropout_and_without_gradient():
    seen = []

    def loss(module, batch):
        seen.append((module.training, torch.is_grad_enabled()))
        return squared(module, batch)

    fit(validation=Points(4), loss=loss, max_epochs=1, batch_size=64)
    assert seen == [(True, True), (False, False)]


def test_validation_loss_may_be_another():
    result = fit_network(
        network(), Points(), squared, options=options(), seed=0,
        validation=Points(8), validation_loss=lambda module, batch: batch[1].sum() * 0 + 2.5,
    )  # fmt: skip
    assert [record.valid_loss for record in result.history] == [2.5] * 3
    assert result.best_epoch == 1


def test_the_best_weights_are_kept():
    truth, wrong = Points(64, noise=0.0), Points(64, noise=0.0)
    wrong.y = -wrong.y  # the more is learnt, the worse validation gets
    net, result = fit(source=truth, validation=wrong, max_epochs=6, learning_rate=0.03)
    losses = [record.valid_loss for record in result.history]
    assert result.best_epoch == 1 + int(np.argmin(losses)) < 6
    with torch.no_grad():
        assert float(squared(net, (wrong.x, wrong.y))) == pytest.approx(min(losses), rel=1e-5)


def test_it_stops_early_when_patience_is_used_up():
    wrong = Points(64)
    wrong.y = -wrong.y
    _, result = fit(validation=wrong, max_epochs=50, patience=3, learning_rate=0.03)
    assert result.stopped_early
    assert result.epochs_run == result.best_epoch + 3 < 50


def test_patience_says_nothing_without_validation():
    _, result = fit(patience=1, max_epochs=4)
    assert result.epochs_run == 4
    assert not result.stopped_early


@pytest.mark.parametrize("windows", [64, 50])
def test_accumulated_batches_equal_a_bigger_one(windows):
    big, _ = fit(source=Points(windows), batch_size=24)
    small, _ = fit(source=Points(windows), batch_size=8, accumulate=3)
    torch.testing.assert_close(weights(big), weights(small), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["32", "16"])
def test_clipping_bounds_the_gradient(precision, monkeypatch):
    norms = []
    step = torch.optim.AdamW.step

    def watched(self, *arguments, **keywords):
        gradients = [p.grad for group in self.param_groups for p in group["params"]]
        norms.append(float(torch.nn.utils.get_total_norm(gradients)))
        return step(self, *arguments, **keywords)

    def ten_times(module, batch):
        return 10 * (module(batch[0]).float() - batch[1]).square().mean()

    monkeypatch.setattr(torch.optim.AdamW, "step", watched)
    fit(gradient_clip=0.05, loss=ten_times, precision=precision)
    clipped = list(norms)
    norms.clear()
    fit(loss=ten_times, precision=precision)
    assert min(norms) > 0.05
    assert clipped == pytest.approx([0.05] * len(clipped), rel=1e-3)


def test_the_average_is_what_is_evaluated_and_kept():
    valid = Points(32, seed=1)
    steps = []

    def loss(module, batch):
        if module.training:
            steps.append(weights(module).detach().clone())
        return squared(module, batch)

    net, result = fit(validation=valid, loss=loss, ema=0.8, max_epochs=4, learning_rate=0.02)
    plain, _ = fit(max_epochs=4, learning_rate=0.02)
    average = steps[0].double()
    for number, after in enumerate([*steps[1:], weights(plain)], start=1):
        decay = min(0.8, (1 + number) / (10 + number))
        average = decay * average + (1 - decay) * after.double()
    assert result.best_epoch == 4
    torch.testing.assert_close(weights(net).double(), average, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        assert result.history[-1].valid_loss == pytest.approx(
            float(squared(net, (valid.x, valid.y))), rel=1e-5
        )
    unvalidated, _ = fit(ema=0.8, max_epochs=4, learning_rate=0.02)
    assert weights(unvalidated).equal(weights(net))


def test_the_learning_rate_follows_the_schedule():
    _, result = fit(schedule="cosine", max_epochs=5, learning_rate=0.1)
    steps = 5 * 4
    assert [record.learning_rate for record in result.history] == pytest.approx(
        [0.1 * (1 + np.cos(np.pi * (4 * epoch - 1) / steps)) / 2 for epoch in range(1, 6)]
    )


def test_the_learning_rate_falls_after_its_milestones():
    _, result = fit(schedule="milestones", milestones=(2, 3), max_epochs=5, learning_rate=0.1)
    rates = [record.learning_rate for record in result.history]
    assert rates == pytest.approx([0.1, 0.1, 0.01, 0.001, 0.001])


def test_adam_and_adamw_decay_differently_and_only_when_asked():
    decayed = {name: weights(fit(optimizer=name, weight_decay=0.5)[0]) for name in ("adam", "adamw")}
    plain = {name: weights(fit(optimizer=name)[0]) for name in ("adam", "adamw")}
    assert plain["adam"].equal(plain["adamw"])
    assert not decayed["adam"].equal(decayed["adamw"])


def test_frozen_weights_stay():
    net = network()
    net[0].requires_grad_(False)
    before, head = net[0].weight.clone(), net[3].weight.clone()
    fit(net, ema=0.5)
    assert net[0].weight.equal(before)
    assert not net[3].weight.equal(head)


def test_gradients_from_before_do_not_count():
    net = network()
    squared(net, (Points().x, Points().y * 1000)).backward()
    assert weights(fit(net)[0]).equal(weights(fit()[0]))


@pytest.mark.parametrize("precision", ["bf16", "16"])
def test_low_precision_computes_in_it_and_keeps_float32_weights(precision):
    types = set()

    def loss(module, batch):
        x, y = batch
        out = module(x)
        types.add(out.dtype)
        return (out.float() - y).square().mean()

    net, result = fit(loss=loss, precision=precision, gradient_clip=1.0, max_epochs=20, learning_rate=0.03)
    assert types == {torch.bfloat16 if precision == "bf16" else torch.float16}
    assert weights(net).dtype == torch.float32
    assert result.history[-1].train_loss < result.history[0].train_loss / 5


def test_deterministic_holds_within_and_is_undone():
    seen = []

    def loss(module, batch):
        seen.append(torch.are_deterministic_algorithms_enabled())
        return squared(module, batch)

    fit(loss=loss, deterministic=True, max_epochs=1)
    assert all(seen)
    assert not torch.are_deterministic_algorithms_enabled()


def test_a_loss_that_is_not_finite_names_epoch_and_step():
    order = Points(64)
    fit(source=order, max_epochs=1, batch_size=8, seed=3)
    step = next(k for k, batch in enumerate(order.asked, start=1) if 63 in batch)
    with pytest.raises(DivergenceError, match=f"training loss became nan in epoch 1, step {step};") as caught:
        fit(source=Broken(), batch_size=8, seed=3)
    assert (caught.value.epoch, caught.value.step) == (1, step)
    with pytest.raises(DivergenceError, match=f"step {(step - 1) // 2 + 1};"):
        fit(source=Broken(), batch_size=8, accumulate=2, seed=3)


def test_weights_that_are_not_finite_are_noticed_even_after_the_last_step():
    def loss(module, batch):  # finite, with an infinite gradient
        return squared(module, batch) * 0 + (module[0].weight.sum() * 0).sqrt()

    with pytest.raises(DivergenceError, match="weights became not finite in epoch 1"):
        fit(loss=loss, max_epochs=1, batch_size=64)


def test_a_validation_loss_that_is_not_finite_is_an_error():
    with pytest.raises(DivergenceError, match="validation loss became nan in epoch 1;"):
        fit(validation=Broken(8))


def test_events_tell_every_epoch_once_from_one():
    listener = Listener()
    _, result = fit(validation=Points(8), run=Run(listeners=[listener]))
    assert listener.epochs == [1, 2, 3]
    expected = {"train_loss", "valid_loss", "learning_rate", "seconds", "eta_seconds", "max_epochs"}
    assert all(set(metrics) == expected for metrics in listener.metrics)
    assert [metrics["train_loss"] for metrics in listener.metrics] == [r.train_loss for r in result.history]
    assert listener.metrics[-1]["eta_seconds"] == 0 < listener.metrics[0]["eta_seconds"]
    assert listener.metrics[0]["max_epochs"] == 3
    without = Listener()
    fit(run=Run(listeners=[without]))
    assert "valid_loss" not in without.metrics[0]


def halves(module, batch):
    """Twice the squared error, of which half is told as each of two terms."""
    half = squared(module, batch)
    return LossTerms(2 * half, {"one": half, "other": 3 * half})


@pytest.mark.parametrize("accumulate", [1, 3])
def test_terms_of_a_loss_are_told_apart_and_train_as_their_sum(accumulate):
    def twice(module, batch):
        return 2 * squared(module, batch)

    listener = Listener()
    changes = {"accumulate": accumulate, "batch_size": 5, "validation": Points(13, seed=1)}
    net, result = fit(loss=halves, run=Run(listeners=[listener]), **changes)
    whole, plain = fit(loss=twice, **changes)
    assert weights(net).equal(weights(whole))
    for record, other, told in zip(result.history, plain.history, listener.metrics, strict=True):
        assert (record.train_loss, record.valid_loss) == pytest.approx((other.train_loss, other.valid_loss))
        for part, loss in (("train", record.train_loss), ("valid", record.valid_loss)):
            assert told[f"{part}_one"] == record.terms[f"{part}_one"] == pytest.approx(loss / 2)
            assert told[f"{part}_other"] == pytest.approx(loss * 3 / 2)
        assert not other.terms


def test_a_term_is_a_scalar_with_a_name_of_its_own():
    with pytest.raises(ShapeError, match=r"loss at other: is a scalar.*got \[2\]"):
        fit(loss=lambda module, batch: LossTerms(squared(module, batch), {"other": torch.zeros(2)}))
    with pytest.raises(InvalidInputError, match="names other than that of their sum"):
        LossTerms(torch.zeros(()), {"loss": torch.zeros(())})


def test_terms_keep_their_names_in_whatever_order_they_come():
    def turning(module, batch):
        half = squared(module, batch)
        terms = {"one": half, "other": 3 * half}
        turning.calls += 1
        return LossTerms(2 * half, dict(reversed(terms.items())) if turning.calls % 2 else terms)

    turning.calls = 0
    changes = {"batch_size": 5, "validation": Points(13, seed=1)}
    turned, plain = (fit(loss=loss, **changes)[1].history for loss in (turning, halves))
    assert [record.terms for record in turned] == [record.terms for record in plain]


def test_every_batch_has_the_same_terms():
    def sometimes(module, batch):
        half = squared(module, batch)
        sometimes.calls += 1
        return LossTerms(half, {"one": half} if sometimes.calls % 2 else {"other": half})

    sometimes.calls = 0
    with pytest.raises(InvalidInputError, match=r"loss: has the same terms in every batch, \['one'\]"):
        fit(loss=sometimes, batch_size=5)
    with pytest.raises(InvalidInputError, match="loss at one: is a tensor"):
        fit(loss=lambda module, batch: LossTerms(squared(module, batch), {"one": 1.0}))
    with pytest.raises(InvalidInputError, match="loss: is a tensor"):
        fit(loss=lambda module, batch: 1.0)


def test_a_listener_that_raises_does_not_stop_training(caplog):
    class Bad:
        def forecast_epoch_finished(self, run, epoch, metrics):
            raise RuntimeError("no disk, no network")

    after = Listener()
    with caplog.at_level(logging.WARNING, "forecast"):
        net, _ = fit(run=Run(listeners=[Bad(), after]))
    assert after.epochs == [1, 2, 3]
    assert "Bad" in caplog.text
    assert "no disk, no network" in caplog.text
    assert weights(net).equal(weights(fit()[0]))


def test_wrong_input_is_refused_by_name():
    with pytest.raises(InvalidInputError, match="source"):
        fit(source=Points(0))
    with pytest.raises(InvalidInputError, match="validation"):
        fit(validation=Points(0))
    with pytest.raises(InvalidInputError, match="seed"):
        fit(seed=-1)
    with pytest.raises(InvalidInputError, match="network"):
        fit(nn.Identity())
    with pytest.raises(ShapeError, match=r"loss: is a scalar.*\[16\]"):
        fit(loss=lambda module, batch: (module(batch[0]) - batch[1]).square())
    for device in ("nowhere", "meta", "cuda:99"):
        with pytest.raises(ConfigError, match=r"TrainingOptions\.device"):
            fit(device=device)


def test_names_are_listed_without_torch():
    code = (
        "import sys, forecast_core.run, forecast_core.training as t, forecast_core.training.history;"
        "import forecast_core.training.progress, forecast_core.training.options;"
        "assert 'fit_network' in dir(t); sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_lion_steps_by_the_sign_of_its_momentum():
    pytest.importorskip("lion_pytorch")
    options_ = {"optimizer": "lion", "learning_rate": 0.01, "weight_decay": 0.1, "max_epochs": 1}
    net, _ = fit(network(), Points(32), batch_size=16, **options_)
    own, source = network(), Points(32)
    momenta = [torch.zeros_like(p) for p in own.parameters()]
    for index in epoch_order(32, 32, seed=0, epoch=1).split(16):
        gradients = torch.autograd.grad(squared(own, source.batch(index)), list(own.parameters()))
        with torch.no_grad():
            for weight, momentum, gradient in zip(own.parameters(), momenta, gradients, strict=True):
                weight.mul_(1 - 0.01 * 0.1)
                weight.sub_(0.01 * torch.sign(0.9 * momentum + 0.1 * gradient))
                momentum.mul_(0.99).add_(gradient, alpha=0.01)
    torch.testing.assert_close(weights(net), weights(own))


def test_lion_without_its_library_says_what_to_install(monkeypatch):
    monkeypatch.setattr("forecast_core.training.optimizers.find_spec", lambda name: None)
    with pytest.raises(MissingDependencyError, match=r"forecast-core\[lion\]"):
        fit(optimizer="lion")


@pytest.mark.accelerator
@pytest.mark.parametrize("precision", ["32", "bf16", "16"])
def test_on_cuda_it_is_repeatable_and_leaves_the_generator_alone(precision):
    class OnCuda(Points):
        def __init__(self):
            super().__init__(512)
            self.x, self.y = self.x.cuda(), self.y.cuda()

        def batch(self, index):
            assert index.is_cuda
            return self.x[index], self.y[index]

    before = torch.cuda.get_rng_state()
    changes = {"device": "cuda", "precision": precision, "gradient_clip": 1.0, "ema": 0.9}
    first, second = (weights(fit(network(dropout=0.3), OnCuda(), **changes)[0]) for _ in range(2))
    assert first.is_cuda
    assert first.equal(second)
    assert torch.cuda.get_rng_state().equal(before)
