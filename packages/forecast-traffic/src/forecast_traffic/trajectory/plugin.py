"""What trajectories register: a task, models and metrics."""

from __future__ import annotations

from forecast_core.hookspecs import hookimpl
from forecast_core.specs import Capabilities, DatasetSpec, ModelSpec, TaskSpec

_MOTION = Capabilities(prediction="path-mixture", online=True, exact_update=True, needs_fit=False)
_NETWORK = Capabilities(prediction="path-mixture")
_SMALL = {
    "modes": 3,
    "hidden_size": 8,
    "max_epochs": 2,
    "batch_size": 32,
    "windows_per_epoch": 64,
}


@hookimpl
def forecast_tasks() -> list[TaskSpec]:
    return [
        TaskSpec(
            id="trajectory",
            data="forecast_traffic.trajectory.tracks:Tracks",
            baseline="trajectory/constant-velocity",
            objective="ade",
            sample_data="forecast_traffic.trajectory.sample:sample_tracks",
            request="forecast_traffic.trajectory.serving:TrackRequest",
        )
    ]


@hookimpl
def forecast_models() -> list[ModelSpec]:
    return [
        ModelSpec(
            id="trajectory/constant-velocity",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.constant_velocity:ConstantVelocity",
            config_entry_point="forecast_traffic.trajectory.configs:ConstantVelocityConfig",
            summary="Straight on at the velocity of the last step or the mean, with an ellipse a step",
            capabilities=_MOTION,
            test_configs=({}, {"estimate": "mean", "axes": "world", "horizon": 5, "context_length": 4}),
        ),
        ModelSpec(
            id="trajectory/constant-acceleration",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.constant_acceleration:ConstantAcceleration",
            config_entry_point="forecast_traffic.trajectory.configs:ConstantAccelerationConfig",
            summary="A parabola in time through the last points or fitted to them, with an ellipse a step",
            capabilities=_MOTION,
            test_configs=({}, {"estimate": "last", "horizon": 5}),
        ),
        ModelSpec(
            id="trajectory/constant-turn",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.constant_turn:ConstantTurn",
            config_entry_point="forecast_traffic.trajectory.configs:ConstantTurnConfig",
            summary="Along a circle at the present speed and turn rate, with an ellipse a step",
            capabilities=_MOTION,
            test_configs=({}, {"estimate": "last", "horizon": 5}),
        ),
        ModelSpec(
            id="trajectory/polynomial",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.polynomial:Polynomial",
            config_entry_point="forecast_traffic.trajectory.configs:PolynomialConfig",
            summary="A polynomial in time by ridge regression on the history, with an ellipse a step",
            capabilities=_MOTION,
            test_configs=({}, {"degree": 1, "decay": 0.8, "horizon": 5}),
        ),
        ModelSpec(
            id="trajectory/gaussian-process",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.gaussian_process:GaussianProcess",
            config_entry_point="forecast_traffic.trajectory.configs:GaussianProcessConfig",
            summary="Exact Gaussian-process regression on the history, RBF kernel and noise about a trend",
            capabilities=_MOTION,
            requires=("scipy",),
            install_hint="pip install forecast-traffic",
            test_configs=({}, {"trend": "last", "fit_kernel": False, "horizon": 5}),
        ),
        ModelSpec(
            id="trajectory/kalman",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.kalman:Kalman",
            config_entry_point="forecast_traffic.trajectory.configs:KalmanConfig",
            summary="Kalman filter of velocity or acceleration, noise fitted by the innovations likelihood",
            capabilities=_MOTION,
            requires=("scipy",),
            install_hint="pip install forecast-traffic",
            test_configs=({}, {"motion": "acceleration", "horizon": 5}),
        ),
        ModelSpec(
            id="trajectory/lstm",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.lstm:LSTM",
            config_entry_point="forecast_traffic.trajectory.configs:LSTMConfig",
            summary="LSTM over one's own history: several Gaussian paths, and probabilities of events",
            capabilities=_NETWORK,
            requires=("torch",),
            install_hint="pip install forecast-traffic",
            test_configs=(_SMALL, {**_SMALL, "modes": 1, "horizon": 5, "average": None}),
        ),
        ModelSpec(
            id="trajectory/interaction-transformer",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.interaction_transformer:InteractionTransformer",
            config_entry_point="forecast_traffic.trajectory.configs:InteractionTransformerConfig",
            summary="Attention to the nearest others: several Gaussian paths, and probabilities of events",
            capabilities=_NETWORK,
            requires=("torch",),
            install_hint="pip install forecast-traffic",
            test_configs=(
                {**_SMALL, "radius": 40.0, "num_heads": 2},
                {**_SMALL, "neighbours": 0, "num_heads": 2, "num_layers": 1, "horizon": 5},
            ),
        ),
        ModelSpec(
            id="trajectory/calibrated",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.models.calibrated:Calibrated",
            config_entry_point="forecast_traffic.trajectory.configs:CalibratedConfig",
            summary="A model whose ellipses hold their share of held-back tracks, or of each recording",
            capabilities=Capabilities(prediction="path-mixture"),
            test_configs=(
                {"model": {"id": "trajectory/constant-velocity"}},
                {
                    "model": {"id": "trajectory/lstm", "params": _SMALL},
                    "method": "adaptive",
                    "coverage": 0.8,
                },
            ),
        ),
    ]


@hookimpl
def forecast_datasets() -> list[DatasetSpec]:
    return [
        DatasetSpec(
            id="trajectory/simulated-road",
            task="trajectory",
            entry_point="forecast_traffic.trajectory.simulation:simulate_road",
            summary="40 simulated cars on three lanes, a minute at 10 Hz, with lane changes and hard braking",
            licence="CC0-1.0",
        )
    ]


@hookimpl
def forecast_metrics() -> list[object]:
    from forecast_traffic.trajectory.metrics import TRAJECTORY_METRICS

    return list(TRAJECTORY_METRICS)
