"""Second moments of windows: all that models linear in the points need to know of their training data."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from forecast_traffic.trajectory.windows import TrackWindows

__all__ = ["WindowMoments", "window_moments"]


class WindowMoments:
    """Sums over windows and both coordinates of z z', z [T] the points of a window.

    Points are relative to the last known one, so that the sums do not lose digits far from the origin.
    count: windows times two. Sums add up, which makes learning online exact.
    """

    def __init__(self, count: float, sums: np.ndarray) -> None:
        self.count, self.sums = count, sums

    def __add__(self, other: WindowMoments) -> WindowMoments:
        return WindowMoments(self.count + other.count, self.sums + other.sums)

    def arrays(self) -> dict[str, np.ndarray]:
        """For storage; `of_arrays` makes equal moments of them."""
        return {"sums": self.sums, "count": np.array([self.count])}

    @classmethod
    def of_arrays(cls, arrays: Mapping[str, np.ndarray]) -> WindowMoments:
        """Those that gave `arrays`; KeyError or ValueError where it cannot have been moments."""
        sums, count = arrays["sums"], arrays["count"]
        if sums.ndim != 2 or count.shape != (1,):
            raise ValueError(f"sums are of {sums.shape}, count is of {count.shape}")
        return cls(float(count[0]), sums)

    @property
    def mean(self) -> np.ndarray:
        """Mean of z z' [T, T] in m^2."""
        mean: np.ndarray = self.sums / max(self.count, 1.0)
        return mean

    def squares(self, weights: np.ndarray) -> np.ndarray:
        """Mean square [r] of the combinations weights [r, T] of the points."""
        found: np.ndarray = np.einsum("rt,ts,rs->r", weights, self.mean, weights)
        return np.asarray(np.maximum(found, 0.0))


def window_moments(windows: TrackWindows, length: int) -> WindowMoments | None:
    """Moments of the windows whose history holds `length` points, history and horizon together; None if none.

    T = length + horizon; the last known point is the zero at position length - 1.
    """
    whole = windows.lengths >= length
    if not whole.any():
        return None
    windows = windows.take(whole)
    history, _ = windows.contexts(length)
    points = np.concatenate([history, windows.targets()[0]], axis=1)  # [n, T, 2]
    points = points - points[:, length - 1, None]
    flat = np.concatenate([points[..., 0], points[..., 1]])  # [2n, T]
    return WindowMoments(float(len(flat)), flat.T @ flat)
