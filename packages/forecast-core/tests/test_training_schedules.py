"""The parts of training that are functions: schedules, stopping, averaging, order."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings, strategies as st

from forecast_core.config import ModelConfig
from forecast_core.errors import ConfigError
from forecast_core.training import EarlyStopping, TrainingOptions, WeightAverage, epoch_order, rate_factor

STEPS = st.integers(2, 300)


@given(total=STEPS)
def test_cosine_falls_from_one_towards_zero(total):
    factors = [rate_factor("cosine", step, total_steps=total) for step in range(total)]
    assert factors[0] == 1.0
    assert all(a > b for a, b in itertools.pairwise(factors))
    assert factors[-1] > 0
    assert rate_factor("cosine", total, total_steps=total) == pytest.approx(0, abs=1e-12)
    if total % 2 == 0:
        assert factors[total // 2] == pytest.approx(0.5)


@given(total=st.integers(10, 300), warmup=st.floats(0.11, 0.9))
def test_one_cycle_rises_to_one_and_falls_to_almost_nothing(total, warmup):
    factors = np.array([rate_factor("one-cycle", k, total_steps=total, warmup=warmup) for k in range(total)])
    top = int(factors.argmax())
    assert (np.diff(factors[: top + 1]) > 0).all()
    assert (np.diff(factors[top:]) < 0).all()
    assert abs(top - (warmup * total - 1)) <= 1
    assert factors[0] == pytest.approx(1 / 25)
    assert factors[-1] == pytest.approx(1 / 25 * 1e-4)


@given(total=STEPS)
def test_one_cycle_without_warm_up_begins_at_its_peak(total):
    assert rate_factor("one-cycle", 0, total_steps=total, warmup=0) == 1.0
    assert rate_factor("one-cycle", total - 1, total_steps=total, warmup=0) < 1e-5


@given(step=st.integers(0, 10_000))
def test_constant_is_constant(step):
    assert rate_factor("constant", step, total_steps=10_001) == 1.0


@pytest.mark.parametrize("total", [12, 50, 101])
@pytest.mark.parametrize("warmup", [0.1, 0.3, 0.5])
def test_schedules_equal_torch_schedulers(total, warmup):
    weight = torch.nn.Parameter(torch.zeros(1))

    def rates(scheduler_of):
        optimizer = torch.optim.SGD([weight], lr=0.1)
        scheduler = scheduler_of(optimizer)
        found = []
        for _ in range(total):
            found.append(scheduler.get_last_lr()[0])
            optimizer.step()
            if len(found) < total:
                scheduler.step()
        return found

    one_cycle = rates(
        lambda o: torch.optim.lr_scheduler.OneCycleLR(
            o, max_lr=0.1, total_steps=total, pct_start=warmup, cycle_momentum=False
        )
    )
    cosine = rates(lambda o: torch.optim.lr_scheduler.CosineAnnealingLR(o, T_max=total))
    falls = (total // 3, total // 2)
    steps = rates(lambda o: torch.optim.lr_scheduler.MultiStepLR(o, milestones=falls, gamma=0.1))
    found = [0.1 * rate_factor("milestones", k, total_steps=total, milestones=falls) for k in range(total)]
    assert found == pytest.approx(steps, rel=1e-9)
    ours = [0.1 * rate_factor("one-cycle", k, total_steps=total, warmup=warmup) for k in range(total)]
    assert ours == pytest.approx(one_cycle, rel=1e-9)
    assert [0.1 * rate_factor("cosine", k, total_steps=total) for k in range(total)] == pytest.approx(cosine)


LOSSES = st.lists(st.floats(-100, 100), min_size=1, max_size=30)


@given(losses=LOSSES)
def test_best_epoch_is_the_earliest_of_the_lowest_loss(losses):
    stopping = EarlyStopping(patience=None)
    news = [stopping.observe(epoch, loss) for epoch, loss in enumerate(losses, start=1)]
    assert stopping.best_epoch == 1 + int(np.argmin(losses))
    assert stopping.best_loss == min(losses)
    assert news == [k == 0 or loss < min(losses[:k]) for k, loss in enumerate(losses)]
    assert not stopping.should_stop


@given(losses=LOSSES, patience=st.integers(1, 5))
def test_stops_when_the_last_gain_is_patience_epochs_ago(losses, patience):
    stopping = EarlyStopping(patience=patience)
    for epoch, loss in enumerate(losses, start=1):
        stopping.observe(epoch, loss)
        assert stopping.should_stop == (epoch - stopping.best_epoch >= patience)


def test_gains_within_min_delta_use_up_patience_but_are_kept():
    stopping = EarlyStopping(patience=2, min_delta=0.1)
    for epoch, loss in enumerate([1.0, 0.95, 0.91], start=1):
        assert stopping.observe(epoch, loss)
    assert stopping.should_stop
    assert stopping.best_epoch == 3


@given(losses=LOSSES, cut=st.integers(0, 30))
def test_stopping_goes_on_from_its_state(losses, cut):
    whole, first = EarlyStopping(3, 0.01), EarlyStopping(3, 0.01)
    for epoch, loss in enumerate(losses, start=1):
        whole.observe(epoch, loss)
        if epoch == cut:
            second = EarlyStopping(3, 0.01)
            second.restore(first.state())
            first = second
        first.observe(epoch, loss)
    assert first == whole


def test_average_follows_its_formula():
    weight = torch.nn.Parameter(torch.tensor([0.0, 10.0], dtype=torch.float64))
    average = WeightAverage([weight], 0.9)
    expected = np.array([0.0, 10.0])
    for step in range(1, 201):
        with torch.no_grad():
            weight += torch.tensor([1.0, -0.5])
        average.update()
        decay = min(0.9, (1 + step) / (10 + step))
        expected = decay * expected + (1 - decay) * weight.detach().numpy()
        np.testing.assert_allclose(average.average[0], expected, rtol=1e-12)
    # Far on, an average of decay d lags a steady slope by slope * d / (1 - d).
    np.testing.assert_allclose(weight.detach() - average.average[0], [9.0, -4.5], rtol=1e-6)


def test_average_is_applied_only_within():
    weight = torch.nn.Parameter(torch.ones(3))
    average = WeightAverage([weight], 0.5)
    with torch.no_grad():
        weight.fill_(5.0)
    with average.applied():
        assert weight.tolist() == [1.0] * 3
    assert weight.tolist() == [5.0] * 3
    average.apply()
    assert weight.tolist() == [1.0] * 3


@given(
    length=st.integers(1, 2000),
    share=st.floats(0.001, 1),
    seed=st.integers(0, 2**32),
    epoch=st.integers(1, 99),
)
@settings(deadline=None)
def test_an_epoch_visits_distinct_windows_in_an_order_of_its_own(length, share, seed, epoch):
    count = max(1, math.floor(length * share))
    order = epoch_order(length, count, seed=seed, epoch=epoch)
    assert order.dtype == torch.int64
    assert order.shape == (count,)
    assert len(order.unique()) == count
    assert 0 <= int(order.min()) <= int(order.max()) < length
    assert order.equal(epoch_order(length, count, seed=seed, epoch=epoch))
    if count > 20:
        assert not order.equal(epoch_order(length, count, seed=seed, epoch=epoch + 1))
        assert not order.equal(epoch_order(length, count, seed=seed + 1, epoch=epoch))


def test_every_window_is_as_likely_as_any_other():
    visits = torch.zeros(50)
    for epoch in range(2000):
        visits[epoch_order(50, 10, seed=1, epoch=epoch)] += 1
    # Each of 50 windows is drawn 400 times on average, with a standard deviation of 17.9.
    assert 320 < visits.min() <= visits.max() < 480


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("max_epochs", 0), ("batch_size", 0), ("learning_rate", 0.0), ("learning_rate", float("nan")),
        ("weight_decay", -1.0), ("windows_per_epoch", 0), ("patience", 0), ("gradient_clip", 0.0),
        ("accumulate", 0), ("schedule", "linear"), ("warmup", 1.0), ("ema", 1.0), ("precision", "8"),
        ("optimizer", "sgd"), ("devices", 0), ("epochs", 3), ("milestones", (0,)),
    ],
)  # fmt: skip
def test_options_out_of_bounds_are_refused_by_name(field, value):
    with pytest.raises(ConfigError, match=field):
        TrainingOptions(**{"max_epochs": 1, "batch_size": 1, "learning_rate": 0.1, field: value})


def test_a_schedule_of_milestones_names_one():
    with pytest.raises(ConfigError, match=r"TrainingOptions.milestones: name an epoch"):
        TrainingOptions(max_epochs=1, batch_size=1, learning_rate=0.1, schedule="milestones")


class Model(ModelConfig):
    """A model's own options, some of which say how it is trained."""

    hidden_size: int = 8
    batch_size: int = 32
    max_epochs: int = 5
    learning_rate: float = 0.1
    patience: int | None = None


def test_options_of_a_model_are_those_of_the_same_name():
    config = Model(max_epochs=7)
    assert TrainingOptions.of(config) == TrainingOptions(max_epochs=7, batch_size=32, learning_rate=0.1)
    other = TrainingOptions.of(config, schedule="one-cycle", batch_size=4)
    assert other == TrainingOptions(max_epochs=7, batch_size=4, learning_rate=0.1, schedule="one-cycle")
    with pytest.raises(ConfigError, match="schedul"):
        TrainingOptions.of(config, schedul="one-cycle")
