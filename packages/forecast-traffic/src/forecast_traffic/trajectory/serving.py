"""Bodies of REST requests for models of task `trajectory`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import numpy as np
from pydantic import Field

from forecast_core.data.instants import instant
from forecast_core.errors import ShapeError
from forecast_core.serving.request import ForecastRequest, ItemId, Number, TensorSpec, Time
from forecast_traffic.trajectory.tracks import Tracks

if TYPE_CHECKING:
    from forecast_core.predictor import ModelInfo

__all__ = ["TrackRequest"]

_Metres = Annotated[list[Number], Field(min_length=1, max_length=10_000)]
_Frames = Annotated[
    list[Annotated[int, Field(ge=-(2**40), le=2**40)]], Field(min_length=1, max_length=10_000)
]


class TrackRequest(ForecastRequest):
    """Where some road users of one scene have been.

    x, y: [track][point] in metres, oldest point first. track_ids: default 0, 1, ... frames: [track][point],
    whole steps of `dt` seconds; default: all tracks were seen at every step up to now. dt: default is that
    of the model's training. start: clock time of frame 0.
    """

    x: Annotated[list[_Metres], Field(min_length=1, max_length=10_000)]
    y: Annotated[list[_Metres], Field(min_length=1, max_length=10_000)]
    track_ids: Annotated[list[ItemId], Field(min_length=1, max_length=10_000)] | None = None
    frames: Annotated[list[_Frames], Field(min_length=1, max_length=10_000)] | None = None
    dt: Annotated[float, Field(gt=0, le=3600)] | None = None
    start: Time | None = None

    def to_data(self, info: ModelInfo) -> Tracks:
        """The tracks of this request; raises InvalidInputError, or one of its kinds, naming the field."""
        lengths = [len(track) for track in self.x]
        for name, lists in (("y", self.y), ("frames", self.frames)):
            if lists is not None and [len(track) for track in lists] != lengths:
                raise ShapeError(name, "has as many tracks and points as x")
        if self.track_ids is not None and len(self.track_ids) != len(lengths):
            raise ShapeError("track_ids", f"has one id a track ({len(lengths)})", got=len(self.track_ids))
        ids = list(range(len(lengths))) if self.track_ids is None else self.track_ids
        if len({type(item) for item in ids}) > 1:
            ids = [str(item) for item in ids]
        frames = self.frames
        if frames is None:
            frames = [list(range(max(lengths) - length, max(lengths))) for length in lengths]
        return Tracks.from_rows(
            track_ids=np.repeat(np.array(ids), lengths),
            frames=np.concatenate([np.array(track, dtype=np.int64) for track in frames]),
            x=np.concatenate(self.x),
            y=np.concatenate(self.y),
            dt=self._step(info),
            start=None if self.start is None else instant("start", self.start),
            gaps="keep",
            singles="refuse",
        )

    def _step(self, info: ModelInfo) -> float:
        if self.dt is not None:
            return self.dt
        known = info.config.get("dt") or info.data.get("dt")
        if not isinstance(known, int | float):
            raise ShapeError("dt", "is given: the model was not fitted on tracks of one step")
        return float(known)

    @classmethod
    def tensors(cls, info: ModelInfo) -> tuple[TensorSpec, ...]:
        """Coordinates [track, point], where all tracks are of one length."""
        return (
            TensorSpec("x", "FP64", (-1, -1)),
            TensorSpec("y", "FP64", (-1, -1)),
            TensorSpec("frames", "INT64", (-1, -1)),
            TensorSpec("track_ids", "BYTES", (-1,)),
        )
