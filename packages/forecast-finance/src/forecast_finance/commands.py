"""What the commands of `forecast finance` do."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from forecast_core.cli.output import JSON, print_json, print_table
from forecast_core.cli.sources import named_model
from forecast_core.errors import CapabilityError, ConfigError
from forecast_finance.bars import Bars

__all__ = ["application"]

Data = Annotated[
    str, typer.Option("--data", help="Id of a dataset, a csv or parquet file, or a folder of them.")
]
Symbol = Annotated[str, typer.Option(help="Column of symbols.")]
Timestamp = Annotated[str, typer.Option(help="Column of times.")]
Symbols = Annotated[str, typer.Option(help="Only these symbols, separated by commas.")]
Invalid = Annotated[Literal["error", "drop"], typer.Option(help="What to do with rows that break a rule.")]


def application() -> typer.Typer:
    """The commands."""
    app = typer.Typer(name="finance", help="Features, data sets, backtests and signals of bars.")
    for command in (features, dataset, backtest, signal):
        app.command(command.__name__)(command)
    return app


def features(
    output: Annotated[Path, typer.Argument(help="A .csv or .parquet file to write.")],
    data: Data = "finance/us-indices",
    symbol: Symbol = "symbol",
    timestamp: Timestamp = "timestamp",
    symbols: Symbols = "",
    invalid: Invalid = "error",
) -> None:
    """Write the 29 features of every bar, with their masks."""
    import narwhals as nw

    from forecast_finance.features import compute

    if output.suffix not in (".csv", ".parquet"):
        raise ConfigError("output", "ends in .csv or .parquet", got=str(output))
    bars = _bars(data, symbol, timestamp, symbols, invalid)
    frame = nw.from_native(compute(bars), eager_only=True)
    (frame.write_csv if output.suffix == ".csv" else frame.write_parquet)(str(output))
    typer.echo(f"wrote {len(bars):,} rows of {len(bars.symbols)} symbols to {output}")


def dataset(
    output: Annotated[Path, typer.Argument(help="A folder that is not there yet.")],
    data: Data = "finance/us-indices",
    symbol: Symbol = "symbol",
    timestamp: Timestamp = "timestamp",
    symbols: Symbols = "",
    invalid: Invalid = "error",
    embedding: Annotated[str, typer.Option(help="Backend of embeddings.")] = "statistical",
    path: Annotated[str, typer.Option(help="Checkpoint of the backend, where it takes one.")] = "",
    cache: Annotated[str, typer.Option(help="Folder of embeddings computed before.")] = "",
) -> None:
    """Write features, masks, targets and embeddings to Parquet, a folder a symbol."""
    from forecast_finance.dataset import build_dataset
    from forecast_finance.embeddings import create

    bars = _bars(data, symbol, timestamp, symbols, invalid)
    embedder = create(embedding, path=path) if path else create(embedding)
    made = build_dataset(bars, output, embedding=embedder, cache=cache or None)
    typer.echo(f"wrote {len(made.bars):,} rows of {len(made.bars.symbols)} symbols to {output}")


def backtest(
    model: Annotated[list[str], typer.Argument(help='Ids, or "id:option=value,...".')],
    train_end: Annotated[str, typer.Option(help="First date not to train on.")],
    valid_end: Annotated[str, typer.Option(help="First date not to validate on.")],
    data: Data = "finance/us-indices",
    symbol: Symbol = "symbol",
    timestamp: Timestamp = "timestamp",
    symbols: Symbols = "",
    invalid: Invalid = "error",
    seeds: Annotated[int, typer.Option(help="Fits of each model, with seeds 0, 1, ...", min=1)] = 1,
    cost_bp: Annotated[float, typer.Option(help="Costs a side, in basis points.", min=0)] = 5.0,
    horizon: Annotated[int, typer.Option(help="Bars a position is held.")] = 3,
    bars_a_year: Annotated[
        float | None, typer.Option(help="Of annual figures; default 252 of daily bars, else by their times.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="An .html file to write the report to.")] = None,
    as_json: bool = JSON,
) -> None:
    """Fit, validate and test models beside the baselines, with intervals and after costs."""
    from forecast_core.reporting.page import check_target
    from forecast_finance.evaluation.walk_forward import walk_forward

    if report is not None:
        if report.suffix != ".html":
            raise ConfigError("--report", "ends in .html", got=str(report))
        check_target(report)
    bars = _bars(data, symbol, timestamp, symbols, invalid)
    given = {text: _named(text) for text in model}
    result = walk_forward(
        bars,
        train_end=train_end,
        valid_end=valid_end,
        models=given,
        seeds=tuple(range(seeds)),
        cost_bp=cost_bp,
        decision_horizon=horizon,
        bars_a_year=bars_a_year,
    )
    if report is not None:
        result.report(report)
    if as_json:
        print_json(json.loads(result.to_json()))
        return
    rows = []
    for r in result.results:
        scores = r.directions[result.decision]
        accuracy, auc = scores["accuracy"], scores["auc"]
        rows.append(
            [
                r.label,
                str(r.seed),
                f"{accuracy.value:.3f} [{accuracy.lower:.3f}, {accuracy.upper:.3f}]",
                f"{scores['always_up'].value:.3f}",
                f"{auc.value:.3f} [{auc.lower:.3f}, {auc.upper:.3f}]",
                f"{r.sharpe.value:.2f} [{r.sharpe.lower:.2f}, {r.sharpe.upper:.2f}]",
                f"{r.account.metrics['annual_return']:+.1%}",
                f"{r.account.metrics['max_drawdown']:.1%}",
            ]
        )
    title = (
        f"{len(result.windows):,} windows, held {horizon} bars, {cost_bp:g} bp a side, "
        f"{result.bars_a_year:,.5g} bars a year"
    )
    columns = ["model", "seed", "accuracy", "always up", "AUC", "Sharpe", "a year", "drawdown"]
    print_table(title, columns, rows)
    for label in result.labels:
        typer.echo(f"{label}: {result.verdict(label)}")
    if report is not None:
        typer.echo(f"wrote {report}")


def signal(
    artifact: Annotated[str, typer.Argument(help="Folder of a saved finance/ensemble.")],
    data: Data = "finance/us-indices",
    symbol: Symbol = "symbol",
    timestamp: Timestamp = "timestamp",
    symbols: Symbols = "",
    invalid: Invalid = "error",
    as_json: bool = JSON,
) -> None:
    """What to do about each symbol at the next open."""
    model = named_model(artifact)
    if not hasattr(model, "predict_all"):
        raise CapabilityError(f"{model.spec.id} gives no signals; save a fitted finance/ensemble")
    told = model.predict_all(_bars(data, symbol, timestamp, symbols, invalid))
    if as_json:
        print_json([asdict(each) for each in told])
        return
    rows = [
        [
            each.symbol,
            each.action.value,
            f"{each.expected_return:+.2%}",
            f"{each.interval[0]:+.2%} to {each.interval[1]:+.2%}",
            f"{each.veto_probability:.2f} of {each.threshold:.2f}",
            each.timestamp[:16],
        ]
        for each in told
    ]
    print_table("signals", ["symbol", "action", "expected", "90 %", "veto", "after"], rows)


def _bars(data: str, symbol: str, timestamp: str, symbols: str, invalid: Literal["error", "drop"]) -> Bars:
    from forecast_core import registry
    from forecast_finance.readers import read_bars

    if data in registry.available_datasets():
        bars = registry.load_dataset(data)
        if not isinstance(bars, Bars):
            raise ConfigError("--data", "is a dataset of bars", got=repr(data))
    else:
        bars = read_bars(data, symbol=symbol or None, timestamp=timestamp, invalid=invalid)
    chosen = [name.strip() for name in symbols.split(",") if name.strip()]
    return bars.select_items(chosen) if chosen else bars


def _named(text: str) -> tuple[str, dict[str, Any]]:
    """Id and options of a model as `named_model` reads them."""
    model = named_model(text)
    return model.spec.id, model.config.model_dump(mode="json")
