"""Named protocols: which windows of a data set the literature's numbers are about."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from forecast_core.errors import DataError, InvalidInputError, ShapeError, near_misses
from forecast_traffic.trajectory.tracks import Tracks
from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["Protocol", "available_protocols", "protocol"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """observe and predict: points of history and of horizon, `dt` seconds apart. least_together: how many
    tracks of a scene have to be there in all points of a window, else its windows do not count.
    """

    id: str
    observe: int
    predict: int
    dt: float
    least_together: int
    source: str

    def windows(self, data: Tracks) -> TrackWindows:
        """All windows of the data that count; DataError where the data has another `dt`."""
        if abs(data.dt - self.dt) > 1e-9:
            raise DataError("data.dt", f"is {self.dt:g} s for the protocol {self.id}", got=data.dt)
        windows = data.windows(context_length=self.observe, horizon=self.predict)
        span = int(data.frames.max()) - int(data.frames.min()) + 1
        moment = windows.scenes * span + windows.frames  # one number a scene and origin
        _, of, together = np.unique(moment, return_inverse=True, return_counts=True)
        windows = windows.take(together[of] >= self.least_together)
        if not len(windows):
            raise ShapeError("data", f"has {self.least_together} tracks together somewhere", got=repr(data))
        return windows


_KNOWN = {
    each.id: each
    for each in (
        Protocol(
            id="eth-ucy/sgan",
            observe=8,
            predict=12,
            dt=0.4,
            least_together=2,
            source="Gupta et al. 2018, Social GAN: scenes with at least two pedestrians",
        ),
        Protocol(
            id="eth-ucy/full-tracks",
            observe=8,
            predict=12,
            dt=0.4,
            least_together=1,
            source="every track of 20 consecutive frames, alone or not",
        ),
    )
}


def available_protocols() -> tuple[str, ...]:
    """Names of all protocols."""
    return tuple(_KNOWN)


def protocol(name: str) -> Protocol:
    """The protocol of this name; InvalidInputError with near misses otherwise."""
    if name not in _KNOWN:
        rule = "is a known protocol"
        raise InvalidInputError("name", rule, got=repr(name), hint=near_misses(str(name), _KNOWN))
    return _KNOWN[name]
