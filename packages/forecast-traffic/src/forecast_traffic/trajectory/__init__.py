"""Trajectories of vehicles and pedestrians: tracks, windows, named protocols, models and metrics."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_traffic.trajectory.events import (
        EVENTS as EVENTS,
        EventRules as EventRules,
        event_labels as event_labels,
    )
    from forecast_traffic.trajectory.features import (
        motion_features as motion_features,
        neighbour_features as neighbour_features,
        with_features as with_features,
    )
    from forecast_traffic.trajectory.following import FactorTracker as FactorTracker
    from forecast_traffic.trajectory.models.calibrated import calibrate_ellipses as calibrate_ellipses
    from forecast_traffic.trajectory.overlap import shares_points as shares_points
    from forecast_traffic.trajectory.protocols import (
        Protocol as Protocol,
        available_protocols as available_protocols,
        protocol as protocol,
    )
    from forecast_traffic.trajectory.report import write_track_report as write_track_report
    from forecast_traffic.trajectory.sample import sample_tracks as sample_tracks
    from forecast_traffic.trajectory.scoring_events import (
        EventScore as EventScore,
        event_scores as event_scores,
    )
    from forecast_traffic.trajectory.simulation import simulate_road as simulate_road
    from forecast_traffic.trajectory.tracks import Tracks as Tracks
    from forecast_traffic.trajectory.windows import TrackWindows as TrackWindows

_EXPORTS = {
    "events": ("EVENTS", "EventRules", "event_labels"),
    "features": ("motion_features", "neighbour_features", "with_features"),
    "following": ("FactorTracker",),
    "models.calibrated": ("calibrate_ellipses",),
    "overlap": ("shares_points",),
    "protocols": ("Protocol", "available_protocols", "protocol"),
    "report": ("write_track_report",),
    "sample": ("sample_tracks",),
    "scoring_events": ("EventScore", "event_scores"),
    "simulation": ("simulate_road",),
    "tracks": ("Tracks",),
    "windows": ("TrackWindows",),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
