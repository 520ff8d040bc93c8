"""The simulation: its conditional distribution is the truth, and what it says of itself holds."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import InvalidInputError, ShapeError
from forecast_core.metrics import score_metrics
from forecast_core.prediction import MixturePrediction
from forecast_traffic import GraphPanel, SimulatedNetwork, mixture_to_moments, simulate_network
from forecast_traffic.graph.windows import GraphWindows


@pytest.fixture(scope="module")
def network() -> SimulatedNetwork:
    return simulate_network(12, 21, seed=3)


def test_true_intervals_cover_at_their_level(network: SimulatedNetwork) -> None:
    windows = network.panel.windows(context_length=12, horizon=12, stride=17)
    truth = network.conditional(windows)
    targets, observed = windows.targets()
    for coverage in (0.5, 0.8, 0.9):
        lower, upper = truth.interval(coverage)
        inside = (lower <= targets) & (targets <= upper)
        assert inside[observed].mean() == pytest.approx(coverage, abs=0.015)
        by_step = np.where(observed, inside, 0).sum((0, 2)) / observed.sum((0, 2))
        np.testing.assert_allclose(by_step, coverage, atol=0.04)


def test_the_truth_follows_from_simulating_on_from_one_state() -> None:
    # Many networks with one seed up to the origin and another after it, by brute force.
    network = simulate_network(3, 1, seed=0, rain=False, incidents_per_day=20, missing=0.0)
    row, horizon = 100, 5
    windows = network.panel.windows(
        context_length=1, horizon=horizon, origins=network.panel.timestamps[[row]]
    )
    truth = network.conditional(windows)
    rng = np.random.default_rng(1)
    draws = 20_000
    x = np.tile(network.waves[row], (draws, 1))
    past = [np.tile(network.incidents[row - j], (draws, 1)) for j in range(3)]  # z now, one, two steps ago
    for h in range(1, horizon + 1):
        noise = np.sqrt(network.noise[row + h])
        x = x @ network.transition.T + rng.normal(size=x.shape) * noise
        u = rng.random(x.shape)
        past = [np.where(past[0], u >= network.ends, u < network.begins), *past[:2]]
        felt = past[0].astype(float)
        at = network.downstream
        for j in (1, 2):
            felt = felt + np.where(at >= 0, 0.6**j * past[j][:, at], 0.0)
            at = np.where(at >= 0, network.downstream[at], -1)
        speed = network.expected[row + h] + x - network.incident_cost * felt
        np.testing.assert_allclose(speed.mean(0), truth.mean()[:, h - 1, 0], atol=0.25)
        np.testing.assert_allclose(speed.var(0), truth.variance()[:, h - 1, 0], rtol=0.06)
        for level in (0.1, 0.5, 0.9):
            np.testing.assert_allclose(
                (speed <= truth.quantile(level)[:, h - 1, 0]).mean(0), level, atol=0.015
            )


def test_the_truth_beats_naive_forecasts(network: SimulatedNetwork) -> None:
    windows = network.panel.windows(context_length=12, horizon=12, stride=40)
    targets, observed = windows.targets()
    best = score_metrics(network.conditional(windows), targets, observed, ["crps"]).overall["crps"]
    naive = fc.create_model("traffic/last-value")
    assert best < 0.75 * fc.evaluate(naive, windows, metrics=["crps"]).metrics["crps"]


def test_a_part_of_the_panel_has_the_same_truth(network: SimulatedNetwork) -> None:
    part = network.panel.between("2024-01-10", None)
    origin = part.timestamps[[50]]
    a = network.conditional(part.windows(context_length=2, horizon=4, origins=origin))
    b = network.conditional(network.panel.windows(context_length=2, horizon=4, origins=origin))
    assert a == b


def test_speeds_are_plausible_and_sensors_fail_as_often_as_asked(network: SimulatedNetwork) -> None:
    values = network.panel.values
    assert np.nanmin(values) > 5
    assert np.nanmax(values) < 90
    assert np.isnan(values).mean() == pytest.approx(0.03, abs=0.015)
    assert network.incidents.mean() == pytest.approx(0.5 * 9 / 288, rel=0.5)
    wet = network.panel.weather[:, 1] > 0
    assert (network.panel.weather_type[wet] > 0).all()
    assert not network.panel.weather_type[~wet].any()


@pytest.mark.parametrize(
    ("freq", "missing"), [("h", 0.6), ("h", 0.03), ("30min", 0.8), ("5min", 0.5), ("D", 0.85), ("5min", 0.0)]
)
def test_shares_of_missing_values_and_of_rain_hold_at_any_frequency(freq: str, missing: float) -> None:
    days = 3000 if freq == "D" else 60
    panel = simulate_network(20, days, freq=freq, missing=missing, incidents_per_day=0.1).panel
    assert 1 - panel.mask.mean() == pytest.approx(missing, abs=0.02)
    assert panel.weather is not None
    assert (panel.weather[:, 1] > 0).mean() == pytest.approx(90 / 570, abs=0.03)


def test_windows_of_other_data_have_no_truth_here(network: SimulatedNetwork) -> None:
    def windows(panel: GraphPanel) -> GraphWindows:
        return panel.windows(context_length=2, horizon=4, stride=50)

    panel = network.panel
    others = {
        "node 'node-12'": simulate_network(14, 2, seed=3).panel,
        "where it holds": simulate_network(12, 21, seed=4).panel,
        "steps of h": simulate_network(12, 2, freq="h").panel,
        "origin 2023-12-31": simulate_network(12, 2, seed=3, start="2023-12-31").panel,
        "origin 2024-01-22": simulate_network(12, 25, seed=3).panel.between("2024-01-22", None),
    }
    for told, other in others.items():
        with pytest.raises(InvalidInputError, match=f"windows.*are of this network's panel.*{told}"):
            network.conditional(windows(other))
    blank = np.isnan(panel.values) | (np.random.default_rng(0).random(panel.values.shape) < 0.5)
    hidden = replace(panel, values=np.where(blank, np.nan, panel.values).astype(np.float32), mask=None)
    assert network.conditional(windows(hidden)) == network.conditional(windows(panel))


def test_congestion_travels_upstream(network: SimulatedNetwork) -> None:
    x, down = network.waves, network.downstream
    upstream = np.flatnonzero(down >= 0)
    ahead = np.mean([np.corrcoef(x[1:, n], x[:-1, down[n]])[0, 1] for n in upstream])
    behind = np.mean([np.corrcoef(x[:-1, n], x[1:, down[n]])[0, 1] for n in upstream])
    assert ahead > behind + 0.1


@pytest.mark.parametrize(
    "options",
    [{"nodes": 0}, {"days": 0}, {"missing": 1.0}, {"incidents_per_day": -1.0}, {"incidents_per_day": 100.0}],
)
def test_sizes_out_of_bounds_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(InvalidInputError, match=next(iter(options))):
        simulate_network(**options)


def test_one_node_without_rain_or_incidents_is_a_network() -> None:
    network = simulate_network(1, 2, rain=False, incidents_per_day=0, missing=0)
    assert network.panel.weather is None
    assert network.panel.edge_index.shape == (2, 0)
    assert not network.incidents.any()
    assert network.panel.mask.all()


def test_the_same_seed_makes_the_same_network() -> None:
    assert simulate_network(5, 2, seed=1).panel == simulate_network(5, 2, seed=1).panel
    assert simulate_network(5, 2, seed=1).panel != simulate_network(5, 2, seed=2).panel


def test_moments_are_those_of_the_prediction(network: SimulatedNetwork) -> None:
    windows = network.panel.windows(context_length=1, horizon=3, stride=500)
    truth: MixturePrediction = network.conditional(windows)
    mean, variance = mixture_to_moments(truth.weights, truth.means, truth.sigmas)
    np.testing.assert_allclose(mean, truth.mean(), rtol=1e-12)
    np.testing.assert_allclose(variance, truth.variance(), rtol=1e-12)
    with pytest.raises(ShapeError):
        mixture_to_moments(truth.weights, truth.means, truth.sigmas[..., :2])
    with pytest.raises(ShapeError):
        mixture_to_moments(truth.weights[..., :2], truth.means, truth.sigmas)
