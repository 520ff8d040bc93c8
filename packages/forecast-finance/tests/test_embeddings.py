"""Embeddings: what decides a vector, what is kept on disk, and checkpoints read without a network."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from forecast_core.errors import ConfigError, DataError, PluginError, ShapeError
from forecast_finance import build_dataset, embeddings, random_walk
from forecast_finance.embeddings.channels import channel_series
from forecast_finance.embeddings.statistical import STATISTICS
from forecast_finance.scaling import ContextScaling


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0.01, 1e4))
def test_a_vector_depends_on_its_window_alone_and_not_on_price_levels(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    bars = random_walk(seed, symbols=1, rows=150)
    windows = bars.windows(context_length=120).contexts(120)
    embedder = embeddings.create("statistical")
    together = embedder.embed(windows)
    one = int(rng.integers(len(windows)))
    np.testing.assert_allclose(embedder.embed(windows[one : one + 1])[0], together[one], rtol=1e-6)
    np.testing.assert_allclose(embedder.embed(windows * scale), together, atol=1e-3)
    changed = windows.copy()
    changed[one, -1, 3] *= 1.001
    assert not np.array_equal(embedder.embed(changed)[one], together[one])


def test_statistics_are_what_they_are_called() -> None:
    windows = random_walk(symbols=1, rows=150).windows(context_length=120).contexts(120)
    vectors = embeddings.create("statistical").embed(windows).reshape(len(windows), 5, -1)
    returns = channel_series(windows)[:, 0]
    at = {name: k for k, name in enumerate(STATISTICS)}
    np.testing.assert_allclose(vectors[:, 0, at["mean"]], returns.mean(1), atol=1e-7)
    np.testing.assert_allclose(vectors[:, 0, at["deviation"]], returns.std(1), rtol=1e-5)
    from scipy import stats

    np.testing.assert_allclose(vectors[:, 0, at["skewness"]], stats.skew(returns, axis=1), rtol=1e-3)
    np.testing.assert_allclose(vectors[:, 0, at["kurtosis"]], stats.kurtosis(returns, axis=1), atol=1e-3)
    trend = [np.corrcoef(row, np.arange(119))[0, 1] for row in returns]
    np.testing.assert_allclose(vectors[:, 0, at["trend"]], trend, atol=1e-5)


def test_windows_that_do_not_move_have_finite_vectors() -> None:
    flat = np.full((2, 120, 5), 7.0)
    flat[..., 4] = 0.0
    vectors = embeddings.create("statistical").embed(flat)
    assert vectors.shape == (2, 60)
    assert np.array_equal(vectors, np.zeros_like(vectors))


def test_unknown_backends_and_options_are_named() -> None:
    assert embeddings.available() == ("chronos", "none", "statistical")
    with pytest.raises(ConfigError, match="did you mean 'chronos'"):
        embeddings.create("chronus")
    with pytest.raises(ConfigError, match="takes other options"):
        embeddings.create("statistical", width=3)


def test_too_few_bars_and_wrong_backends_are_refused() -> None:
    bars = random_walk(rows=140)
    with pytest.raises(ShapeError, match="at least 120 bars"):
        embeddings.embed_rows(bars, np.array([50]), embedder=embeddings.create("statistical"))

    class Broken:
        name, width, digest = "broken", 2, "0"

        def embed(self, windows: np.ndarray) -> np.ndarray:
            return np.full((len(windows), 10), np.nan, dtype=np.float32)

    with pytest.raises(PluginError, match="not finite"):
        embeddings.embed_rows(bars, np.array([130]), embedder=Broken())


class Counting:
    """The statistical backend, counting the windows it embeds."""

    def __init__(self) -> None:
        inner = embeddings.create("statistical")
        self.inner, self.name, self.width, self.digest = inner, inner.name, inner.width, inner.digest
        self.windows = 0

    def embed(self, windows: np.ndarray) -> np.ndarray:
        self.windows += len(windows)
        return self.inner.embed(windows)


def test_vectors_are_kept_on_disk_by_content(tmp_path: Path) -> None:
    bars = random_walk(rows=140)
    rows = np.flatnonzero(bars.position >= 119)
    counting = Counting()
    cache = embeddings.EmbeddingCache(tmp_path)
    first = embeddings.embed_rows(bars, rows, embedder=counting, cache=cache)
    assert counting.windows == len(rows)
    again = embeddings.embed_rows(
        bars, rows[::-1], embedder=counting, cache=embeddings.EmbeddingCache(tmp_path)
    )
    assert counting.windows == len(rows)
    assert np.array_equal(again[::-1], first)
    longer = random_walk(1, rows=140)
    embeddings.embed_rows(longer, rows[:3], embedder=counting, cache=cache)
    assert counting.windows == len(rows) + 3
    counting.digest = "another"  # another checkpoint: nothing of the first one's is taken
    embeddings.embed_rows(bars, rows, embedder=counting, cache=cache)
    assert counting.windows == 2 * len(rows) + 3


def test_a_damaged_shard_is_refused(tmp_path: Path) -> None:
    bars = random_walk(rows=125)
    rows = np.flatnonzero(bars.position >= 119)
    embedder = embeddings.create("statistical")
    embeddings.embed_rows(bars, rows, embedder=embedder, cache=embeddings.EmbeddingCache(tmp_path))
    (shard,) = (tmp_path / embedder.digest).glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:50])
    with pytest.raises(DataError, match="delete the file"):
        embeddings.embed_rows(bars, rows, embedder=embedder, cache=embeddings.EmbeddingCache(tmp_path))


# chronos

_T5 = {"d_kv": 8, "d_ff": 32, "num_layers": 1, "num_heads": 2, "pad_token_id": 0}
_PATCHED = {
    "context_length": 512,
    "input_patch_size": 16,
    "input_patch_stride": 16,
    "quantiles": [0.1, 0.5, 0.9],
    "use_reg_token": True,
}


def make_checkpoint(folder: Path, family: str, *, width: int = 16) -> Path:
    """A tiny checkpoint with random weights."""
    import torch

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = _model(family, width)
    model.save_pretrained(folder)
    return folder


def _model(family: str, width: int) -> Any:
    from transformers import T5Config, T5ForConditionalGeneration

    if family == "chronos-2":
        from chronos.chronos2.config import Chronos2CoreConfig
        from chronos.chronos2.model import Chronos2Model

        core = Chronos2CoreConfig(d_model=width, **_T5)
        core.chronos_config = {**_PATCHED, "output_patch_size": 16, "use_arcsinh": True}
        core.chronos_pipeline_class, core.reg_token_id = "Chronos2Pipeline", 1
        core.architectures = ["Chronos2Model"]
        return Chronos2Model(core)
    shared = {**_T5, "d_model": width, "decoder_start_token_id": 0, "eos_token_id": 1}
    if family == "bolt":
        from chronos.chronos_bolt import ChronosBoltModelForForecasting

        bolt = T5Config(vocab_size=2, **shared)
        bolt.chronos_config = {**_PATCHED, "prediction_length": 8}
        bolt.chronos_pipeline_class, bolt.reg_token_id = "ChronosBoltPipeline", 1
        bolt.architectures = ["ChronosBoltModelForForecasting"]
        return ChronosBoltModelForForecasting(bolt)
    t5 = T5Config(vocab_size=64, **shared)
    t5.chronos_config = {
        "tokenizer_class": "MeanScaleUniformBins",
        "tokenizer_kwargs": {"low_limit": -15.0, "high_limit": 15.0},
        "context_length": 512,
        "prediction_length": 8,
        "n_tokens": 64,
        "n_special_tokens": 2,
        "pad_token_id": 0,
        "eos_token_id": 1,
        "use_eos_token": True,
        "model_type": "seq2seq",
        "num_samples": 2,
        "temperature": 1.0,
        "top_k": 5,
        "top_p": 1.0,
    }
    t5.architectures = ["T5ForConditionalGeneration"]
    return T5ForConditionalGeneration(t5)


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("chronos")
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("offline")
@pytest.mark.parametrize(("family", "tokens"), [("t5", 119), ("bolt", 8), ("chronos-2", 8)])
def test_a_checkpoint_on_disk_embeds_without_its_special_tokens(
    tmp_path: Path, family: str, tokens: int
) -> None:
    import torch

    embedder = embeddings.create("chronos", path=str(make_checkpoint(tmp_path / family, family)))
    bars = random_walk(rows=130)
    rows = np.flatnonzero(bars.position >= 119)
    vectors = embeddings.embed_rows(bars, rows, embedder=embedder)
    assert vectors.shape == (len(rows), 5 * 16)
    alone = embeddings.embed_rows(bars, rows[4:5], embedder=embedder)
    np.testing.assert_allclose(alone[0], vectors[4], atol=1e-5)
    # The same average by hand, of the first series.
    windows = bars.windows(context_length=120, origins=bars.timeline[-1:]).contexts(120)
    series = torch.from_numpy(channel_series(windows)[0, :1].astype(np.float32))
    states, _ = embedder._pipeline.embed(series[None] if family == "chronos-2" else series)  # type: ignore[attr-defined]
    states = states[0] if isinstance(states, list) else states
    assert states.shape[1] > tokens  # there are special tokens after those of time
    expected = states[0, :tokens].mean(0).numpy()
    np.testing.assert_allclose(embedder.embed(windows)[0, :16], expected, atol=1e-5)
    assert embedder.digest != embeddings.create("statistical").digest


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("offline")
def test_what_is_no_checkpoint_is_refused_and_pickles_are_never_read(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="can be fetched"):
        embeddings.create("chronos", path="nobody/nothing")
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(DataError, match=r"config\.json and weights in safetensors"):
        embeddings.create("chronos", path=str(empty))
    folder = make_checkpoint(tmp_path / "t5", "t5")
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")
    with pytest.raises(DataError, match="safetensors"):
        embeddings.create("chronos", path=str(folder))
    with pytest.raises(ConfigError, match="takes other options"):
        embeddings.create("chronos", folder="x")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.usefixtures("offline")
def test_a_512_dimensional_model_gives_541_numbers(tmp_path: Path) -> None:
    path = make_checkpoint(tmp_path / "bolt", "bolt", width=512)
    bars = random_walk(symbols=3, rows=300)
    ds = build_dataset(bars, tmp_path / "ds", embedding=embeddings.create("chronos", path=str(path)))
    rows = np.flatnonzero(bars.position >= 119)
    scaling = ContextScaling.fit(ds.bars.features[rows], ds.bars.vectors[rows], components=512)
    assert scaling.transform(ds.bars.features[rows[:5]], ds.bars.vectors[rows[:5]]).shape == (5, 541)
