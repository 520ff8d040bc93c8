"""Training steps of fit_network against the same network, batches and optimizer in a bare torch loop.

Each round times both, in turn, whole calls with everything around the steps; the ratio is the median over
rounds. Exit status 1 if it is over budget.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import sys
import time

import torch
from torch import Tensor, nn

from forecast_core.training import TrainingOptions, fit_network

BUDGET = 1.1
WINDOWS, CONTEXT, COLUMNS, BATCH = 4096, 48, 6, 64


class Windows:
    """Windows of one table; a batch is one gather."""

    def __init__(self) -> None:
        table = torch.randn(WINDOWS + CONTEXT, COLUMNS, generator=torch.Generator().manual_seed(0))
        self.windows = table.unfold(0, CONTEXT + 1, 1).transpose(1, 2)  # [window, context + 1, column]

    def __len__(self) -> int:
        return WINDOWS

    def batch(self, index: Tensor) -> tuple[Tensor, Tensor]:
        """Context [n, context, column] and the next row's first column [n]."""
        rows = self.windows[index]
        return rows[:, :-1], rows[:, -1, 0]


class LSTM(nn.Module):
    """A small recurrent network: most of the time goes into the network itself."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(COLUMNS, 32, batch_first=True)
        self.head = nn.Linear(32, 1)

    def forward(self, rows: Tensor) -> Tensor:
        """Rows [n, context, column] to [n]."""
        out: Tensor = self.head(self.lstm(rows)[0][:, -1])
        return out[:, 0]


class Perceptron(nn.Sequential):
    """A quick network: whatever the loop adds shows."""

    def __init__(self) -> None:
        super().__init__(
            nn.Flatten(), nn.Linear(CONTEXT * COLUMNS, 256), nn.ReLU(), nn.Linear(256, 256), nn.ReLU(),
            nn.Linear(256, 1), nn.Flatten(0),
        )  # fmt: skip


def loss(module: nn.Module, batch: tuple[Tensor, Tensor]) -> Tensor:
    rows, target = batch
    return (module(rows) - target).abs().mean()


def bare(network: nn.Module, source: Windows) -> float:
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3)
    network.train()
    total = torch.zeros(())
    for index in torch.randperm(len(source)).split(BATCH):
        optimizer.zero_grad()
        value = loss(network, source.batch(index))
        value.backward()
        optimizer.step()
        total += value.detach()
    return total.item()


def ours(network: nn.Module, source: Windows) -> float:
    options = TrainingOptions(max_epochs=1, batch_size=BATCH, learning_rate=1e-3, schedule="one-cycle")
    return fit_network(network, source, loss, options=options, seed=0).history[0].train_loss


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=15)
    rounds = parser.parse_args().rounds
    torch.set_num_threads(1)
    source, steps, over = Windows(), WINDOWS // BATCH, False
    print(f"torch {torch.__version__}, Python {platform.python_version()}, one thread, {steps} steps a round")
    for kind in (LSTM, Perceptron):
        network, times = kind(), {bare: [], ours: []}
        for turn in range(rounds + 2):  # two rounds to warm up
            for train in (bare, ours) if turn % 2 else (ours, bare):
                began = time.perf_counter()
                train(network, source)
                if turn >= 2:
                    times[train].append(time.perf_counter() - began)
        ratios = [mine / other for mine, other in zip(times[ours], times[bare], strict=True)]
        ratio = statistics.median(ratios)
        over |= ratio > BUDGET
        print(
            f"{kind.__name__:12}  bare {1e3 * statistics.median(times[bare]) / steps:6.3f} ms a step  "
            f"fit_network {ratio:.3f}x  (budget {BUDGET}x)"
        )
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
