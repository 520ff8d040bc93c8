"""`ProgressBar`: epochs, losses and the time left, on the terminal."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from forecast_core.errors import MissingDependencyError
from forecast_core.run import Run

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

__all__ = ["ProgressBar"]


class ProgressBar:
    """A listener that shows a run's epochs as a bar; on standard error unless given a console of rich.

    Raises MissingDependencyError without rich.
    """

    def __init__(self, console: Console | None = None) -> None:
        if find_spec("rich") is None:
            raise MissingDependencyError(
                "rich", purpose="the progress bar", install="pip install 'forecast-core[cli]'"
            )
        self._console = console
        self._progress: Progress | None = None
        self._task: TaskID

    def forecast_run_started(self, run: Run) -> None:
        """Show a bar before the first epoch is over."""
        self._show(None)

    def forecast_epoch_finished(self, run: Run, epoch: int, metrics: Mapping[str, float]) -> None:
        """Move on by an epoch."""
        total = int(metrics["max_epochs"])
        progress = self._show(total)
        losses = f"train {metrics['train_loss']:.4g}"
        if "valid_loss" in metrics:
            losses += f", validation {metrics['valid_loss']:.4g}"
        progress.update(
            self._task, total=total, completed=epoch, losses=losses, left=_clock(metrics["eta_seconds"])
        )
        if epoch >= total:
            self._hide()

    def forecast_run_finished(self, run: Run, result: Any) -> None:
        """Leave the bar as it is and give the terminal back."""
        self._hide()

    def forecast_run_failed(self, run: Run, error: BaseException) -> None:
        """Leave the bar as it is and give the terminal back."""
        self._hide()

    def _show(self, total: int | None) -> Progress:
        if self._progress is None:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

            self._progress = Progress(
                TextColumn("epoch"),
                MofNCompleteColumn(),
                BarColumn(bar_width=24),
                TextColumn("{task.fields[losses]}"),
                TimeElapsedColumn(),
                TextColumn("{task.fields[left]}"),
                console=self._console or Console(stderr=True),
                refresh_per_second=2,
            )
            self._task = self._progress.add_task("epochs", total=total, losses="", left="")
            self._progress.start()
        return self._progress

    def _hide(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None


def _clock(seconds: float) -> str:
    """Time left, such as `ETA 1:02:03`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"ETA {hours}:{minutes:02}:{rest:02}" if hours else f"ETA {minutes}:{rest:02}"
