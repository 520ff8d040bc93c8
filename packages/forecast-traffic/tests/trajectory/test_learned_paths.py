"""Trained models: one frame for all directions, several paths, neighbours that matter, events."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import forecast_core as fc
from forecast_core.conformance import PredictorConformance
from forecast_core.errors import ConfigError, DataError, InvalidInputError, NotFittedError
from forecast_traffic.trajectory import (
    EVENTS,
    Tracks,
    event_labels,
    event_scores,
    sample_tracks,
    simulate_road,
)
from forecast_traffic.trajectory.nn.losses import path_loss
from forecast_traffic.trajectory.nn.paths import Paths, varied
from forecast_traffic.trajectory.nn.tensors import PathSource

SMALL = {"modes": 3, "hidden_size": 16, "max_epochs": 3, "batch_size": 64, "windows_per_epoch": 256}
BOTH = ("trajectory/lstm", "trajectory/interaction-transformer")


class TestLSTM(PredictorConformance):
    model_id = "trajectory/lstm"


class TestInteractionTransformer(PredictorConformance):
    model_id = "trajectory/interaction-transformer"


@cache
def fitted(model_id: str) -> Any:
    return fc.create_model(model_id, **SMALL).fit(sample_tracks(), seed=0)


def moved(data: Tracks, angle: float, shift: tuple[float, float]) -> Tracks:
    turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    return replace(data, xy=data.xy @ turn + shift)


@pytest.mark.parametrize("model_id", BOTH)
def test_predictions_move_and_turn_with_the_world(model_id: str) -> None:
    data, model = sample_tracks(1), fitted(model_id)
    turn = np.array([[np.cos(2.0), np.sin(2.0)], [-np.sin(2.0), np.cos(2.0)]])
    a, b = model.predict(data), model.predict(moved(data, 2.0, (5e4, -3e4)))
    np.testing.assert_allclose(b.mean(), a.mean() @ turn + (5e4, -3e4), atol=2e-4)
    np.testing.assert_allclose(b.weights, a.weights, atol=1e-5)
    expected = np.einsum("ji,nhjkm,kl->nhilm", turn, a.covariances, turn)
    np.testing.assert_allclose(b.covariances, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("model_id", BOTH)
def test_several_paths_with_probabilities(model_id: str) -> None:
    p = fitted(model_id).predict(sample_tracks(1))
    weights, paths = p.modes()
    assert paths.shape == (8, 3, 12, 2)
    np.testing.assert_allclose(weights.sum(1), 1.0)
    assert (np.diff(weights, axis=1) <= 0).all()
    assert np.ptp(paths, axis=1).max() > 0.01


def crowd(others: np.ndarray) -> Tracks:
    """Somebody walking along x, and others [track, time, 2] of the same scene."""
    own = np.stack([np.arange(10) * 0.5, np.zeros(10)], 1)
    xy = np.concatenate([own[None], others])
    n = len(xy)
    return Tracks(
        xy=xy.reshape(-1, 2),
        frames=np.tile(np.arange(10), n),
        offsets=np.arange(0, 10 * n + 1, 10),
        item_ids=tuple(range(n)),
        dt=0.4,
    )


def test_others_within_the_radius_matter_and_no_others() -> None:
    rng = np.random.default_rng(0)
    near, far = rng.normal((4.5, 1.0), 0.3, (1, 10, 2)), rng.normal((80.0, 0.0), 0.3, (1, 10, 2))

    def own(model_id: str, others: np.ndarray) -> np.ndarray:
        means: np.ndarray = fitted(model_id).predict(crowd(others)).take([0]).means
        return means

    alone = np.empty((0, 10, 2))
    seeing, blind = BOTH[1], BOTH[0]
    assert not np.allclose(own(seeing, near), own(seeing, alone), atol=1e-4)
    np.testing.assert_allclose(own(seeing, far), own(seeing, alone), atol=1e-6)
    np.testing.assert_allclose(own(blind, near), own(blind, alone), atol=1e-6)
    swapped = own(seeing, np.concatenate([near, near + 0.5]))
    np.testing.assert_allclose(own(seeing, np.concatenate([near + 0.5, near])), swapped, atol=1e-5)


def test_it_learns_what_constant_velocity_cannot_say() -> None:
    """Half of all paths turn left after a while, half right; nothing tells which."""
    rng = np.random.default_rng(0)
    steps = np.arange(20)
    side = rng.choice([-1.0, 1.0], 400)
    y = side[:, None] * np.where(steps > 8, 0.6 * (steps - 8), 0.0)
    xy = np.stack([np.tile(0.5 * steps, (400, 1)), y], -1) + rng.normal(0, 0.01, (400, 20, 2))
    data = Tracks(
        xy=xy.reshape(-1, 2),
        frames=np.tile(steps, 400),
        offsets=np.arange(0, 8001, 20),
        item_ids=tuple(range(400)),
        dt=0.4,
    )
    train, test = data.of_groups(np.arange(300)), data.of_groups(np.arange(300, 400))
    model = fc.create_model(
        "trajectory/interaction-transformer",
        **{**SMALL, "max_epochs": 30, "learning_rate": 5e-3, "modes": 4, "stretch": 0.0},
    ).fit(train, seed=0)
    found = fc.evaluate(model, test.windows(context_length=8, horizon=12), metrics=["minade@4", "ade"])
    assert found.metrics["minade@4"] < 0.4
    assert found.metrics["minade@4"] < 0.25 * found.baseline.metrics["ade"]


@pytest.mark.slow
def test_events_are_told_better_than_their_rate_on_simulated_roads() -> None:
    train, test = (
        simulate_road(seed, vehicles=60, seconds=seconds).thinned(5)
        for seed, seconds in ((0, 120.0), (1, 60.0))
    )
    windows = test.windows(context_length=6, horizon=4)
    model = fc.create_model(
        "trajectory/interaction-transformer",
        **{**SMALL, "context_length": 6, "horizon": 4, "max_epochs": 8, "windows_per_epoch": 4096},
        learning_rate=4e-3,
        radius=40.0,
    ).fit(train, seed=0)
    p = model.predict_windows(windows)
    assert set(p.aux) == {"scene", "frame", "lane_change", "braking"}  # nobody stopped or turned
    scores = event_scores(p, windows)
    for name in ("lane_change", "braking"):
        assert scores[name].brier < scores[name].base_brier, name
        assert scores[name].auc > 0.6, name
        assert 0.01 < scores[name].rate < 0.5


def test_scores_of_events_equal_scikit_learns() -> None:
    from sklearn.metrics import brier_score_loss, roc_auc_score

    data = sample_tracks(2, items=20)
    windows = data.windows(context_length=8, horizon=12)
    p = fitted(BOTH[0]).predict_windows(windows)
    labels = event_labels(windows)
    scores = event_scores(p, windows)
    assert scores
    for name, score in scores.items():
        known = ~np.isnan(labels[:, EVENTS.index(name)])
        truth = labels[known, EVENTS.index(name)]
        assert score.windows == known.sum()
        assert score.rate == pytest.approx(truth.mean())
        assert score.brier == pytest.approx(brier_score_loss(truth, p.aux[name][known]))
        assert score.base_brier == pytest.approx(score.rate * (1 - score.rate))
        assert score.auc == pytest.approx(roc_auc_score(truth, p.aux[name][known]))


def test_the_loss_counts_the_nearest_path_and_known_events_alone() -> None:
    data = sample_tracks()
    windows = data.windows(context_length=8, horizon=12)
    source = PathSource(windows, length=8, radius=10.0, limit=2, labelled=True)
    batch = source.batch(torch.arange(5))
    n, k = 5, 2
    right, wrong = batch.future, batch.future + 50.0
    paths = Paths(
        means=torch.stack([right, wrong], 1),
        log_scales=torch.zeros(n, k, 12, 2),
        correlation=torch.zeros(n, k, 12),
        logits=torch.tensor([[9.0, -9.0]]).expand(n, k),
        events=torch.zeros(n, 4),
    )
    good = path_loss(paths, batch, temperature=0.3)
    bad = path_loss(paths._replace(logits=-paths.logits), batch, temperature=0.3)
    off = path_loss(paths._replace(means=paths.means + 3.0), batch, temperature=0.3)
    assert good < bad
    assert good < off
    unknown = batch._replace(events=torch.full_like(batch.events, torch.nan))
    assert torch.isfinite(path_loss(paths, unknown, temperature=0.3))


def test_varied_windows_keep_lengths_up_to_their_stretch() -> None:
    source = PathSource(
        sample_tracks().windows(context_length=8, horizon=12), length=8, radius=10.0, limit=2, labelled=True
    )
    batch = source.batch(torch.arange(40))
    other = varied(batch, 0.3)
    before, after = (torch.linalg.vector_norm(b.future[:, -1], dim=-1) for b in (batch, other))
    ratio = after / before
    assert ratio.min() >= np.exp(-0.3) - 1e-5
    assert ratio.max() <= np.exp(0.3) + 1e-5
    again = torch.linalg.vector_norm(other.past[:, 0], dim=-1)
    first = torch.linalg.vector_norm(batch.past[:, 0], dim=-1)
    torch.testing.assert_close(again / first, ratio)


def test_windows_in_their_own_frame_end_at_zero_and_look_ahead() -> None:
    data = sample_tracks()
    windows = data.windows(context_length=8, min_context=3, horizon=12)
    batch = PathSource(windows, length=8, radius=10.0, limit=2, labelled=True).batch(
        torch.arange(len(windows))
    )
    assert (batch.past[:, -1] == 0).all()
    step = batch.past[:, -1] - batch.past[:, -2]
    assert (step[:, 0] > 0).all()
    np.testing.assert_allclose(step[:, 1], 0.0, atol=1e-5)
    assert (batch.past[~batch.known] == 0).all()
    assert (batch.known.sum(1).numpy() == windows.lengths).all()
    assert (batch.others[~batch.others_known] == 0).all()


@pytest.mark.parametrize("model_id", BOTH)
def test_shorter_horizons_are_beginnings_and_longer_ones_refused(model_id: str) -> None:
    data, model = sample_tracks(1), fitted(model_id)
    np.testing.assert_array_equal(model.predict(data, horizon=4).means, model.predict(data).means[:, :4])
    with pytest.raises(InvalidInputError, match="at most 12"):
        model.predict(data, horizon=13)
    with pytest.raises(DataError, match=r"data.dt: is 0.4 s, as in training"):
        model.predict(data.thinned(2))
    with pytest.raises(NotFittedError):
        fc.create_model(model_id, **SMALL).predict(data)


@pytest.mark.parametrize("model_id", BOTH)
def test_saved_and_loaded_whole(model_id: str, tmp_path: Path) -> None:
    data, model = sample_tracks(1), fitted(model_id)
    model.save(tmp_path / "m")
    assert fc.load_model(tmp_path / "m").predict(data) == model.predict(data)


def test_wrong_options_are_named() -> None:
    with pytest.raises(ConfigError, match="num_heads"):
        fc.create_model("trajectory/interaction-transformer", hidden_size=30, num_heads=4)
    with pytest.raises(ConfigError, match="modes"):
        fc.create_model("trajectory/lstm", modes=0)
