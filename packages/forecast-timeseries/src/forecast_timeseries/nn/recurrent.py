"""The network of `timeseries/lstm`: an LSTM reads the context, a head answers each step of the horizon."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from forecast_timeseries.nn.normalising import window_statistics
from forecast_timeseries.nn.tensors import Layout, Scaled, WindowBatch

__all__ = ["LSTMNetwork"]


class LSTMNetwork(nn.Module):
    """Context -> LSTM -> last state; last state + what is known of a step -> that step's parameters.

    Known of a step: its calendar, lagged targets, future covariates, its place in the horizon, the item's
    embedding and static covariates. With head_size 0 one dense layer makes all steps of the last state,
    the embedding and the static covariates instead. Targets and lags come on the scale of their item in
    training; with `per_window` they are normalised further by the window's own observed mean and spread.
    """

    def __init__(
        self,
        layout: Layout,
        *,
        context_length: int,
        horizon: int,
        outputs: int,
        hidden_size: int,
        num_layers: int,
        dropout: float,
        items: int,
        item_embedding: int,
        per_window: bool,
        head_size: int,
        residual: bool,
    ) -> None:
        super().__init__()
        self.layout, self.context_length, self.horizon = layout, context_length, horizon
        self.outputs, self.per_window, self.residual = outputs, per_window, residual and layout.lags > 0
        self.embedding = nn.Embedding(items, item_embedding) if item_embedding else None
        constant = item_embedding + layout.static
        self.lstm = nn.LSTM(
            layout.width + layout.calendar,
            hidden_size,
            num_layers,
            dropout=dropout if num_layers > 1 else 0.0,
            batch_first=True,
        )
        self.dropout = nn.Dropout(dropout)
        self.dense: nn.Linear | None = None
        if not head_size:
            self.dense = nn.Linear(hidden_size + constant, horizon * layout.targets * outputs)
            return
        ahead = layout.known_ahead + layout.calendar
        self.from_state = nn.Linear(hidden_size + constant, head_size)
        self.from_step = nn.Linear(ahead, head_size, bias=False) if ahead else None
        self.place = nn.Parameter(torch.zeros(horizon, head_size))
        self.mix = nn.Linear(head_size, head_size)
        self.out = nn.Linear(head_size, layout.targets * outputs)

    def forward(self, batch: WindowBatch) -> Scaled:
        """Parameters of every step in normalised units, and what was observed."""
        t, lags, context = self.layout.targets, self.layout.lags, self.context_length
        series = batch.series  # [n, context + horizon, width]
        values, observed = series[..., :t], series[..., t : 2 * t]
        normal, known = values[:, :context], observed[:, :context]  # 0 where nothing was observed
        shift, scale = window_statistics(normal, known, used=self.per_window)
        rest = series[..., 2 * t :]
        if self.per_window:
            normal = (normal - shift) / scale * known
        if self.per_window and lags:
            lagged, seen = rest[..., : t * lags], rest[..., t * lags : 2 * t * lags]
            lagged = (lagged - shift.repeat(1, 1, lags)) / scale.repeat(1, 1, lags) * seen
            rest = torch.cat([lagged, seen, rest[..., 2 * t * lags :]], -1)
        read = torch.cat([normal, known, rest[:, :context], batch.clock[:, :context]], -1)
        _, (state, _) = self.lstm(read)
        constant = [self.dropout(state[-1]), batch.static]
        if self.embedding is not None:
            constant.append(self.embedding(batch.items))
        read_out = torch.cat(constant, -1)
        if self.dense is None:
            output = self._steps(read_out, self._known_ahead(rest[:, context:], batch.clock[:, context:]))
        else:
            output = self.dense(read_out).unflatten(-1, (self.horizon, t, self.outputs))
        if self.residual:
            output = output + self._lag_mean(rest[:, context:])[..., None]
        return Scaled(output, shift, scale, values[:, context:], observed[:, context:] > 0)

    def _steps(self, constant: Tensor, known: Tensor) -> Tensor:
        """Output [n, horizon, target, out] of what is constant [n, c] and what is known of each step
        [n, horizon, k].
        """
        hidden = self.from_state(constant)[:, None] + self.place  # [n, horizon, head]
        if self.from_step is not None:
            hidden = hidden + self.from_step(known)
        hidden = torch.relu(hidden)
        hidden = hidden + torch.relu(self.mix(self.dropout(hidden)))
        return torch.unflatten(self.out(hidden), -1, (self.layout.targets, self.outputs))

    def _known_ahead(self, rest: Tensor, clock: Tensor) -> Tensor:
        lags = 2 * self.layout.targets * self.layout.lags
        return torch.cat([rest[..., :lags], rest[..., lags + 2 * self.layout.past :], clock], -1)

    def _lag_mean(self, rest: Tensor) -> Tensor:
        """Mean over the observed lags of each step [n, horizon, target], 0 where none was."""
        t, lags = self.layout.targets, self.layout.lags
        lagged = torch.unflatten(rest[..., : t * lags], -1, (lags, t)).sum(-2)
        seen = torch.unflatten(rest[..., t * lags : 2 * t * lags], -1, (lags, t)).sum(-2)
        result: Tensor = lagged / seen.clamp_min(1.0)
        return result
