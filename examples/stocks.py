"""Daily bars of two indices: features, both networks with their veto, an honest report, and a signal for now.

    python examples/stocks.py

Data: S&P 500 and NASDAQ Composite, 1999-2018, which the package arch ships; nothing is downloaded. Models are
fitted before 2013, validated on 2013 and 2014, and tested on later years, all much smaller than their
defaults so that the whole takes a few minutes on one core. Expect no edge: the report says so.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import torch

import forecast_core as fc
import forecast_finance
from forecast_finance import features


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--out", type=Path, default=Path("runs/stocks"))
    options = parser.parse_args()
    torch.set_num_threads(1)

    bars = fc.load_dataset("finance/us-indices")
    print(f"{len(bars):,} bars of {', '.join(bars.symbols)}")

    report = features.check_causality(
        lambda b: features.table(b).values, bars, names=features.names(), cuts=3
    )
    print(f"{len(features.names())} features, reading the future: {list(report.leaks) or 'none'}")

    shared: dict[str, Any] = {
        "heads": 4,
        "layers": 1,
        "max_epochs": options.epochs,
        "windows_per_epoch": 2048,
        "batch_size": 128,
    }
    ensemble: dict[str, Any] = {
        "timeformer": {**shared, "size": 32, "feed_forward": 64},
        "tft": {**shared, "size": 16, "embedding_size": 4},
        "folds": 2,
    }
    result = forecast_finance.walk_forward(
        bars,
        train_end="2013-01-01",
        valid_end="2015-01-01",
        models={"ensemble": ("finance/ensemble", ensemble)},
        seeds=range(options.seeds),
        cost_bp=5,
    )
    for each in result.results:
        scores, account = each.directions[result.decision], each.account.metrics
        accuracy = scores["accuracy"]
        print(
            f"{each.label:18} seed {each.seed}: accuracy {accuracy.value:.3f} "
            f"[{accuracy.lower:.3f}, {accuracy.upper:.3f}], always up {scores['always_up'].value:.3f}; "
            f"Sharpe {each.sharpe.value:+.2f} [{each.sharpe.lower:+.2f}, {each.sharpe.upper:+.2f}], "
            f"{account['trades']:.0f} trades"
        )
    for label in result.labels:
        print(f"{label}: {result.verdict(label)}")
    print(f"report: {result.report(options.out / 'report.html', title='Two indices, 2015-2018')}")

    model = fc.create_model("finance/ensemble", **ensemble)
    model.fit(bars.between(None, "2017-01-01"), validation=bars.between("2017-01-20", None), seed=0)
    model.save(options.out / "model")
    for signal in fc.load_model(options.out / "model").predict_all(bars):  # type: ignore[attr-defined]
        print(
            f"{signal.symbol} after {signal.timestamp[:10]}: {signal.action}, expected "
            f"{signal.expected_return:+.2%} in {signal.horizon} days, 90 % in "
            f"{signal.interval[0]:+.2%}..{signal.interval[1]:+.2%}, "
            f"veto {signal.veto_probability:.2f} of {signal.threshold}"
        )


if __name__ == "__main__":
    main()
