"""Plots show what they are given, and refuse what does not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import forecast_core as fc
from forecast_core.errors import DataError, InvalidInputError, ShapeError
from forecast_traffic import GraphPanel, plot_fan, plot_network, plot_weather_attention
from forecast_traffic.graph.sample import sample_graph

pytest.importorskip("matplotlib")

POSITIONS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@pytest.fixture(scope="module")
def panel() -> GraphPanel:
    return sample_graph()


@pytest.fixture(scope="module")
def prediction(panel: GraphPanel) -> fc.MixturePrediction:
    made = fc.create_model("traffic/last-value", horizon=6).predict(panel.rows(0, 200))
    assert isinstance(made, fc.MixturePrediction)
    return made


def test_a_fan_shows_history_bands_median_and_what_happened(
    panel: GraphPanel, prediction: fc.MixturePrediction
) -> None:
    axes = plot_fan(prediction, panel, node="node-2", history=20).axes[0]
    observed, median = axes.get_lines()
    np.testing.assert_array_equal(observed.get_ydata(), panel.values[180:206, 2, 0])
    np.testing.assert_array_equal(median.get_ydata(), prediction.median()[2, :, 0])
    assert len(axes.collections) == 2
    ended = plot_fan(prediction, panel.rows(0, 200), node="node-2", history=20).axes[0]
    assert len(ended.get_lines()[0].get_ydata()) == 20
    with pytest.raises(InvalidInputError, match="did you mean 'node-2'"):
        plot_fan(prediction, panel, node="node-22")


@pytest.mark.parametrize("show", ["level", "uncertainty"])
def test_a_map_colours_nodes_and_draws_edges(
    panel: GraphPanel, prediction: fc.MixturePrediction, show: str
) -> None:
    axes = plot_network(prediction, panel, positions=POSITIONS, step=3, show=show).axes[0]  # type: ignore[arg-type]
    lower, upper = prediction.interval(0.9)
    expected = prediction.median() if show == "level" else upper - lower
    np.testing.assert_allclose(axes.collections[0].get_array(), expected[:, 2, 0])
    assert len(axes.get_lines()) == panel.edge_index.shape[1]


def test_a_map_of_something_else_is_refused(panel: GraphPanel, prediction: fc.MixturePrediction) -> None:
    with pytest.raises(ShapeError, match="positions"):
        plot_network(prediction, panel, positions=POSITIONS[:3])
    with pytest.raises(ShapeError, match="one row a node"):
        plot_network(prediction.take([0, 1]), panel, positions=POSITIONS)
    with pytest.raises(InvalidInputError, match=r"step.*1..6"):
        plot_network(prediction, panel, positions=POSITIONS, step=7)
    with pytest.raises(InvalidInputError, match="show"):
        plot_network(prediction, panel, positions=POSITIONS, show="speed")  # type: ignore[arg-type]


@pytest.mark.parametrize("channel", [1, -1, 0.0, True, "speed"])
def test_a_channel_that_is_not_there_is_refused(
    panel: GraphPanel, prediction: fc.MixturePrediction, channel: Any
) -> None:
    with pytest.raises(InvalidInputError, match="channel: "):
        plot_fan(prediction, panel, node="node-2", channel=channel)
    with pytest.raises(InvalidInputError, match="channel: "):
        plot_network(prediction, panel, positions=POSITIONS, channel=channel)


def test_arguments_of_plots_are_numbers(panel: GraphPanel, prediction: fc.MixturePrediction) -> None:
    with pytest.raises(InvalidInputError, match="history"):
        plot_fan(prediction, panel, node="node-2", history=-5)
    with pytest.raises(InvalidInputError, match="step"):
        plot_network(prediction, panel, positions=POSITIONS, step=1.5)  # type: ignore[arg-type]
    with pytest.raises(DataError, match="positions"):
        plot_network(prediction, panel, positions=[["east", "north"]] * 4)  # type: ignore[arg-type]


def test_attention_is_averaged_by_weather() -> None:
    weights = np.array([[0.1, 0.2], [0.3, 0.4], [0.0, 0.0]])
    axes = plot_weather_attention(weights, ["rain", "rain", "dry"]).axes[0]
    np.testing.assert_allclose(axes.get_lines()[0].get_ydata(), [0.2, 0.3])
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [
        "rain (sum 0.50)",
        "dry (sum 0.00)",
    ]
    with pytest.raises(ShapeError, match="groups"):
        plot_weather_attention(weights, ["rain"])
