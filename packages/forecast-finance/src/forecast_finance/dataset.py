"""Data sets on disk: bars, features, masks, targets and embeddings in Parquet, a folder a symbol."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any
from urllib.parse import quote

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from forecast_core.data.instants import instant
from forecast_core.errors import DataError, InvalidInputError, MissingDependencyError, ShapeError
from forecast_core.splits import Split, SplitReport
from forecast_core.validation import typed_error, whole
from forecast_finance.bar_rules import FIELDS, DroppedRow, DropReport
from forecast_finance.bar_windows import forward_log_returns
from forecast_finance.bars import Bars
from forecast_finance.embeddings import LOOKBACK, Embedder, EmbeddingCache, create, embed_rows
from forecast_finance.feature_bars import EmbeddingInfo, FeatureBars, check_version
from forecast_finance.features.catalogue import VERSION, FeatureConfig, names

__all__ = ["Dataset", "build_dataset", "open_dataset", "split_by_date", "with_features"]

_FORMAT = 2
"""2 tells `start` and the rows that were dropped; 1, without them, is read too."""

_ABOUT = "dataset.json"


class _Header(BaseModel):
    """What tells whether the rest can be read."""

    model_config = ConfigDict(frozen=True)

    format: int
    feature_version: int


class _About(_Header):
    """dataset.json: what the tables hold, and what they do not say of the bars.

    dropped: rule -> how many rows were left out for it; dropped_rows: which. bars: fingerprint.
    """

    feature_config: FeatureConfig
    embedding: EmbeddingInfo
    horizons: tuple[int, ...]
    interval_us: int = Field(gt=0)
    start: str | None = None
    symbols: tuple[str, ...] = Field(min_length=1)
    rows: int
    dropped: dict[str, int]
    dropped_rows: tuple[DroppedRow, ...] = ()
    bars: str


@dataclass(frozen=True)
class Dataset:
    """A data set: its bars with features and embeddings, and the folder it lies in."""

    bars: FeatureBars
    path: Path

    def split(self, train_end: Any, valid_end: Any, *, embargo: int = 5) -> Split[FeatureBars]:
        """Bars to train on before `train_end`, to validate on before `valid_end`, and to test on after.

        Targets of a part end within it, the bar of the fill's delay included, so the longest horizon and one
        bar are purged before each boundary; `embargo` further bars after it are left out. Raises ShapeError
        where a part would have no window.
        """
        return split_by_date(self.bars, train_end, valid_end, embargo=embargo)


def split_by_date(
    bars: FeatureBars, train_end: Any, valid_end: Any, *, embargo: int = 5
) -> Split[FeatureBars]:
    """See `Dataset.split`."""
    first, second = instant("train_end", train_end), instant("valid_end", valid_end)
    if not first < second:
        raise InvalidInputError("valid_end", f"is after train_end ({first})", got=second)
    gap = whole("embargo", embargo, least=0)
    timeline = bars.timeline
    at = np.searchsorted(timeline, [first, second])
    last = len(timeline)
    spans = ((0, int(at[0])), (int(at[0]) + gap, int(at[1])), (int(at[1]) + gap, last))
    for name, (low, high) in zip(("train", "valid", "test"), spans, strict=True):
        if high - low <= bars.reach:
            rule = f"leave more than {bars.reach} bars for {name}"
            raise ShapeError("train_end, valid_end", rule, got=f"{max(high - low, 0)} bars")
    train = bars.between(None, first)
    valid = bars.between(timeline[spans[1][0]], second)
    test = bars.between(timeline[spans[2][0]], None)
    report = SplitReport(
        sizes=(spans[0][1], spans[1][1] - spans[1][0], spans[2][1] - spans[2][0]),
        starts=(str(timeline[0]), str(timeline[spans[1][0]]), str(timeline[spans[2][0]])),
        dropped=2 * gap,
    )
    return Split(train, valid, test, report)


def with_features(
    bars: Bars,
    *,
    embedding: str | Embedder = "statistical",
    config: FeatureConfig | None = None,
    cache: str | PathLike[str] | None = None,
) -> FeatureBars:
    """Bars with all features, and with the vector of every bar that has 120 up to it."""
    from forecast_finance.features.computing import table

    config = FeatureConfig() if config is None else config
    embedder = create(embedding) if isinstance(embedding, str) else embedding
    rows = np.flatnonzero(bars.position + 1 >= LOOKBACK)
    kept = None if cache is None else EmbeddingCache(cache)
    found = embed_rows(bars, rows, embedder=embedder, cache=kept)
    vectors = np.full((len(bars), found.shape[1]), np.nan, dtype=np.float32)
    vectors[rows] = found
    return FeatureBars.of(
        bars,
        features=table(bars, config=config).values,
        vectors=vectors,
        feature_config=config,
        embedding=EmbeddingInfo(embedder.name, embedder.digest, embedder.width),
    )


def build_dataset(
    bars: Bars,
    out: str | PathLike[str],
    *,
    embedding: str | Embedder = "statistical",
    config: FeatureConfig | None = None,
    cache: str | PathLike[str] | None = None,
) -> Dataset:
    """Write features, masks, targets and embeddings of bars to a new folder, all or nothing.

    `out/symbol=NAME/part-0.parquet` has a row a bar: timestamp, prices, volume, the 29 features and
    `<name>_known`, `log_return_H` and `direction_H` (NaN and null where not known yet), and `embedding`;
    `out/dataset.json` tells feature version, options, backend and digest, horizons, and rows that were left
    out. Windows are made when they are read, never stored. cache: folder of embeddings computed before.

    Raises ShapeError naming a symbol with fewer than 120 bars, InvalidInputError where `out` is there
    already, MissingDependencyError without pyarrow.
    """
    target = Path(out)
    if target.exists():
        raise InvalidInputError("out", "is a folder that is not there yet", got=str(target))
    counts = np.diff(bars.offsets)
    if (counts < LOOKBACK).any():
        short = int((counts < LOOKBACK).argmax())
        raise ShapeError(
            "bars",
            f"have at least {LOOKBACK} of each symbol",
            place=bars.symbols[short],
            got=int(counts[short]),
        )
    featured = with_features(bars, embedding=embedding, config=config, cache=cache)
    partial = target.with_name(f".{target.name}.partial-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        for k, symbol in enumerate(featured.symbols):
            _write_symbol(partial / f"symbol={quote(symbol, safe='')}", featured, k)
        (partial / _ABOUT).write_text(_about(featured).model_dump_json(indent=2), encoding="utf-8")
        partial.replace(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return Dataset(featured, target)


def open_dataset(path: str | PathLike[str]) -> Dataset:
    """A data set that `build_dataset` wrote.

    Raises DataError where the folder is none, is of another feature version, tells too little of itself, or
    its bars are not those that were written.
    """
    folder = Path(path)
    about = _read_about(folder)
    width = 5 * about.embedding.width
    tables = [_read_symbol(folder / f"symbol={quote(name, safe='')}", width) for name in about.symbols]
    columns = {name: np.concatenate([t[name] for t in tables]) for name in tables[0]}
    bars = FeatureBars(
        symbols=about.symbols,
        offsets=np.cumsum([0, *(len(t["timestamp"]) for t in tables)]),
        timestamps=columns["timestamp"],
        values=np.column_stack([columns[name] for name in FIELDS]),
        interval=np.timedelta64(about.interval_us, "us"),
        horizons=about.horizons,
        start=None if about.start is None else instant("start", about.start),
        dropped=DropReport(about.dropped_rows),
        features=np.column_stack([columns[name] for name in names()]),
        vectors=columns["embedding"],
        feature_config=about.feature_config,
        embedding=about.embedding,
    )
    if bars.plain().fingerprint() != about.bars:
        raise DataError("path", "holds the bars that were written", got=str(folder), hint="build it again")
    return Dataset(bars, folder)


def _about(bars: FeatureBars) -> _About:
    return _About(
        format=_FORMAT,
        feature_version=VERSION,
        feature_config=bars.feature_config,
        embedding=bars.embedding,
        horizons=bars.horizons,
        interval_us=int(bars.interval / np.timedelta64(1, "us")),
        start=None if bars.start is None else str(bars.start),
        symbols=bars.symbols,
        rows=len(bars),
        dropped=bars.dropped.by_rule(),
        dropped_rows=bars.dropped.rows,
        bars=bars.plain().fingerprint(),
    )


def _read_about(folder: Path) -> _About:
    """What dataset.json tells; DataError where it is none that this version reads."""
    try:
        text = (folder / _ABOUT).read_text(encoding="utf-8")
        header = _Header.model_validate_json(text)
        if header.format > _FORMAT:
            raise DataError("path", f"has a format up to {_FORMAT}", got=header.format)
        check_version("features", header.feature_version)
        return _About.model_validate_json(text)
    except ValidationError as error:
        told = typed_error(_ABOUT, error, kind=DataError)
        raise DataError("path", f"is a folder that build_dataset wrote ({told})", got=str(folder)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise DataError("path", f"is a folder that build_dataset wrote ({error})", got=str(folder)) from error


def _write_symbol(folder: Path, bars: FeatureBars, symbol: int) -> None:
    pyarrow, parquet = _arrow()
    rows = np.arange(bars.offsets[symbol], bars.offsets[symbol + 1])
    columns: dict[str, Any] = {"timestamp": bars.timestamps[rows]}
    columns |= {name: bars.values[rows, k] for k, name in enumerate(FIELDS)}
    features = bars.features[rows]
    columns |= {name: features[:, k] for k, name in enumerate(names())}
    columns |= {f"{name}_known": ~np.isnan(features[:, k]) for k, name in enumerate(names())}
    returns = forward_log_returns(bars, rows, bars.horizons)
    for k, ahead in enumerate(bars.horizons):
        columns[f"log_return_{ahead}"] = returns[:, k]
        columns[f"direction_{ahead}"] = pyarrow.array(
            np.sign(returns[:, k]), mask=np.isnan(returns[:, k]), from_pandas=True
        ).cast(pyarrow.int8())
    arrays = {name: pyarrow.array(values) for name, values in columns.items()}
    width = bars.vectors.shape[1]
    if width:
        flat = pyarrow.array(np.ascontiguousarray(bars.vectors[rows]).reshape(-1))
        arrays["embedding"] = pyarrow.FixedSizeListArray.from_arrays(flat, width)
    folder.mkdir()
    parquet.write_table(pyarrow.table(arrays), folder / "part-0.parquet", compression="zstd")


def _read_symbol(folder: Path, width: int) -> dict[str, np.ndarray]:
    """Columns of one symbol: timestamp, prices, volume, features [n], and embedding [n, width]."""
    pyarrow, parquet = _arrow()
    wanted = ["timestamp", *FIELDS, *names()]
    vectors = ["embedding"] if width else []
    try:
        table = parquet.ParquetFile(folder / "part-0.parquet").read(columns=wanted + vectors)
        found = {name: table[name].to_numpy() for name in wanted}
        flat = [table[name].combine_chunks().flatten().to_numpy() for name in vectors]
    except (OSError, KeyError, pyarrow.ArrowException) as error:
        raise DataError("path", f"holds each symbol's rows ({error})", got=str(folder)) from error
    embedding = flat[0] if flat else np.zeros(0, dtype=np.float32)
    if embedding.size != len(table) * width:
        got = f"{embedding.size / max(len(table), 1):g}"
        raise DataError("path", f"holds embeddings of {width} numbers", place=folder.name, got=got)
    found["embedding"] = embedding.reshape(len(table), width)
    return found


def _arrow() -> tuple[Any, Any]:
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise MissingDependencyError(
            "pyarrow", purpose="data sets on disk", install="pip install 'forecast-finance[dataset]'"
        ) from error
    return pyarrow, parquet
