"""`HistoryWriter`: losses by epoch, in the run's folder, as csv and json."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping

from forecast_core.errors import ArtifactError
from forecast_core.run import Run
from forecast_core.training.atomic import write_atomically

__all__ = ["HistoryWriter"]

_PASSING = ("eta_seconds", "max_epochs")  # told with every epoch, but nothing about it


class HistoryWriter:
    """A listener that keeps `history.csv` and `history.json`, a row an epoch, current after each.

    Both files are replaced whole, never seen half written. A run that is resumed goes on with the rows
    of the epochs before; an epoch trained again replaces its row. A run without a folder keeps nothing.
    """

    def __init__(self) -> None:
        self._rows: list[dict[str, float]] = []
        self._run: Run | None = None

    def forecast_epoch_finished(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Add the epoch's row. Raises ArtifactError if the folder refuses or its history is unreadable."""
        if run.directory is None:
            return
        if run is not self._run:
            self._run = run
            self._rows = self._earlier(run) if run.resume else []
        row = {"epoch": epoch, **{name: value for name, value in metrics.items() if name not in _PASSING}}
        self._rows = [earlier for earlier in self._rows if earlier["epoch"] < epoch] + [row]
        columns = list(dict.fromkeys(name for row in self._rows for name in row))
        table = io.StringIO(newline="")
        writer = csv.DictWriter(table, columns, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self._rows)
        write_atomically(run.directory / "history.json", [json.dumps(self._rows, indent=1).encode()])
        write_atomically(run.directory / "history.csv", [table.getvalue().encode()])

    @staticmethod
    def _earlier(run: Run) -> list[dict[str, float]]:
        assert run.directory is not None
        path = run.directory / "history.json"
        if not path.exists():
            return []
        try:
            rows = json.loads(path.read_bytes())
            return [{"epoch": int(row["epoch"]), **row} for row in rows]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ArtifactError(f"{path}: is no history of a run ({error})") from error
