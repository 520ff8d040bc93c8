"""`timeseries/chronos`: forecasts of a pretrained Chronos checkpoint, without fitting."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import torch
from chronos import BaseChronosPipeline, Chronos2Pipeline, ChronosBoltPipeline, ChronosPipeline
from safetensors import safe_open
from transformers import (
    GenerationConfig,
    LogitsProcessor,
    LogitsProcessorList,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)
from transformers.utils import logging as transformers_logging

from forecast_core.artifacts import State
from forecast_core.config import ModelConfig
from forecast_core.data import PanelWindows
from forecast_core.errors import ArtifactIntegrityError, ConfigError
from forecast_core.training import training_device
from forecast_timeseries.checkpoints import checkpoint_folder, file_hashes, weight_files
from forecast_timeseries.configs import ChronosConfig
from forecast_timeseries.per_series import PerSeriesForecaster

__all__ = ["Chronos"]

_DECILES = tuple(k / 10 for k in range(1, 10))


class Chronos(PerSeriesForecaster):
    """Zero-shot forecasts of a Chronos (T5), Chronos-Bolt or Chronos-2 checkpoint, each series alone.

    Bolt and Chronos-2 answer their own quantiles, levels between those by straight lines, levels outside
    not at all; T5 samples paths. Missing values in a context stay missing, which the checkpoints know; a
    series with none observed is answered as `series/naive` does. Several targets are so many series.

    Sampling draws the same noise for each series, by `seed`, so that a forecast does not depend on what it
    is made together with. Beyond the steps a checkpoint was trained for it reads its own forecasts; a
    warning says so for Bolt and Chronos-2.

    Weights are read as float32 from safetensors alone, and lazily. An artifact holds the checkpoint's name
    and the SHA-256 of its files, not the weights; other files than those are refused.

    Sources: Ansari et al. 2024, Chronos: Learning the Language of Time Series; Ansari et al. 2025,
    Chronos-2: From Univariate to Universal Forecasting.
    """

    config_class: ClassVar[type[ModelConfig]] = ChronosConfig

    config: ChronosConfig

    _pipeline: BaseChronosPipeline | None = None
    _hashes: Mapping[str, str] | None = None  # of the checkpoint's files, once known

    # the checkpoint

    def _folder(self) -> Any:
        """The checkpoint's folder, its files those seen before."""
        config = self.config
        folder = checkpoint_folder("ChronosConfig.checkpoint", config.checkpoint, revision=config.revision)
        found = file_hashes(folder)
        if self._hashes is not None and found != self._hashes:
            names = found.keys() | self._hashes.keys()
            changed = sorted(name for name in names if found.get(name) != self._hashes.get(name))
            raise ArtifactIntegrityError(
                f"checkpoint {config.checkpoint!r} is not the one the model was saved with: "
                f"{', '.join(changed)} differs"
            )
        self._hashes = found
        return folder

    def _loaded(self) -> BaseChronosPipeline:
        if self._pipeline is None:
            training_device(self.config.device)
            folder = self._folder()
            try:
                pipeline = _load(folder)
            except Exception as error:  # of a configuration that does not fit, or a damaged file
                raise ConfigError(
                    "ChronosConfig.checkpoint",
                    "is a Chronos checkpoint that chronos-forecasting can load",
                    got=f"{self.config.checkpoint!r} ({type(error).__name__}: {error})",
                ) from error
            longest = pipeline.model_context_length
            if self.config.context_length is not None and self.config.context_length > longest:
                raise ConfigError(
                    "ChronosConfig.context_length",
                    f"is at most {longest}, the checkpoint's own",
                    got=self.config.context_length,
                )
            pipeline.inner_model.to(self.config.device).eval()
            self._pipeline = pipeline
        return self._pipeline

    # predicting

    def _quantiles_of(self, windows: PanelWindows) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        pipeline = self._loaded()
        levels = self._levels(pipeline)
        longest = self.config.context_length or pipeline.model_context_length
        targets, steps = len(windows.panel.target_names), windows.horizon
        values = np.empty((len(windows), steps, targets, len(levels)))
        unseen = np.zeros((len(windows), targets), dtype=np.bool_)
        together = max(self.config.batch_size // targets, 1)
        for begin in range(0, len(windows), together):
            at = np.arange(begin, min(begin + together, len(windows)))
            some = windows.take(at)
            length = min(longest, int(some.rows.max()) + 1)
            contexts = some.contexts(length).transpose(0, 2, 1)  # [n, target, length]
            unseen[at] = np.isnan(contexts).all(axis=2)
            series = torch.tensor(contexts.reshape(-1, length), dtype=torch.float32)
            found = self._quantiles(pipeline, series, levels=levels, steps=steps)  # [n*target, level, step]
            values[at] = found.reshape(len(some), targets, len(levels), steps).transpose(0, 3, 1, 2)
        return levels, values, unseen

    def _levels(self, pipeline: BaseChronosPipeline) -> np.ndarray:
        asked = self.config.quantile_levels
        if isinstance(pipeline, ChronosPipeline):
            return np.array(asked or _DECILES)
        own = sorted(_quantile_pipeline(pipeline).quantiles)
        if asked is not None and (asked[0] < own[0] or asked[-1] > own[-1]):
            raise ConfigError(
                "ChronosConfig.quantile_levels",
                f"lie within {own[0]}..{own[-1]}, what the checkpoint was trained for",
                got=asked,
                hint="ask the prediction for a quantile beyond; its tails are exponential",
            )
        return np.array(asked or own)

    def _quantiles(
        self, pipeline: BaseChronosPipeline, series: torch.Tensor, *, levels: np.ndarray, steps: int
    ) -> np.ndarray:
        """Quantiles [n, level, step] of series [n, length], NaN where missing."""
        index = [torch.cuda.current_device()] if self.config.device.startswith("cuda") else []
        with torch.random.fork_rng(devices=index), torch.no_grad():
            if isinstance(pipeline, ChronosPipeline):
                paths = _sampled(
                    pipeline, series, steps=steps, count=self.config.num_samples, seed=self.config.seed
                )
                drawn: np.ndarray = np.quantile(paths.double().numpy(), levels, axis=1)
                return drawn.transpose(1, 0, 2)
            if isinstance(pipeline, Chronos2Pipeline):
                parts = pipeline.predict(series[:, None], prediction_length=steps, batch_size=len(series))
                told = torch.cat(parts)
            else:
                told = pipeline.predict(series, prediction_length=steps)
        order = np.argsort(_quantile_pipeline(pipeline).quantiles)
        own = np.array(_quantile_pipeline(pipeline).quantiles)[order]
        values = np.sort(told.double().numpy()[:, order], axis=1)  # [n, own level, step]
        upper = np.clip(np.searchsorted(own, levels), 1, len(own) - 1)
        share = ((levels - own[upper - 1]) / (own[upper] - own[upper - 1]))[:, None]
        between: np.ndarray = (1.0 - share) * values[:, upper - 1] + share * values[:, upper]
        return between

    # storage

    def _state(self) -> State:
        self._folder()
        return State(texts={"checkpoint.json": json.dumps({"sha256": dict(self._hashes or {})})})

    def _load_state(self, state: State) -> None:
        self._hashes = json.loads(state.texts["checkpoint.json"])["sha256"]
        self._folder()


def _quantile_pipeline(pipeline: BaseChronosPipeline) -> ChronosBoltPipeline | Chronos2Pipeline:
    assert isinstance(pipeline, ChronosBoltPipeline | Chronos2Pipeline)
    return pipeline


def _load(folder: Any) -> BaseChronosPipeline:
    """The pipeline in a folder; ValueError where its files lack weights that the model has."""
    bars: Any = transformers_logging  # publishes no types
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        with torch.random.fork_rng(devices=[]):
            pipeline = BaseChronosPipeline.from_pretrained(
                str(folder),
                dtype="float32",
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
            )
    finally:
        if shown:
            bars.enable_progress_bar()
    stored: set[str] = set()
    for path in weight_files(folder):
        with safe_open(path, framework="pt") as file:
            stored |= set(file.keys())
    weights = pipeline.inner_model.state_dict()
    held = {tensor.data_ptr() for name, tensor in weights.items() if name in stored}
    missing = sorted(name for name, tensor in weights.items() if tensor.data_ptr() not in held)
    if missing:
        raise ValueError(f"the files hold no {missing[0]}")
    return pipeline


class _Chooser(LogitsProcessor):
    """Chooses each next token by Gumbel noise [sample, token] that is the same for every series.

    What is left of the scores is the token chosen, so that the sampling after it has no choice.
    """

    def __init__(self, warpers: LogitsProcessorList, *, samples: int, seed: int) -> None:
        self._warpers, self._samples = warpers, samples
        self._generator = torch.Generator().manual_seed(seed)

    def __call__(self, input_ids: Any, scores: Any) -> Any:
        scores = self._warpers(input_ids, scores)  # [series*sample, token]
        uniform = torch.rand(self._samples, scores.shape[1], generator=self._generator)
        noise = -torch.log(-torch.log(uniform)).to(scores.device)
        noisy = scores.reshape(-1, self._samples, scores.shape[1]) + noise
        chosen = noisy.argmax(dim=-1).reshape(-1, 1)
        return torch.full_like(scores, -torch.inf).scatter(1, chosen, 0.0)


def _sampled(
    pipeline: ChronosPipeline, series: torch.Tensor, *, steps: int, count: int, seed: int
) -> torch.Tensor:
    """Paths [n, sample, step] after series [n, length]; beyond the checkpoint's own steps the medians so
    far are read as context.
    """
    own, network = pipeline.model.config, pipeline.model.model
    warpers = LogitsProcessorList([TemperatureLogitsWarper(own.temperature), TopKLogitsWarper(own.top_k)])
    if own.top_p < 1.0:
        warpers.append(TopPLogitsWarper(own.top_p))
    chooser = _Chooser(warpers, samples=count, seed=seed)
    generation: Any = GenerationConfig  # publishes no types
    parts: list[torch.Tensor] = []
    while (done := sum(part.shape[2] for part in parts)) < steps:
        tokens, mask, scale = pipeline.tokenizer.context_input_transform(series)
        ahead = min(steps - done, own.prediction_length)
        chosen = network.generate(
            input_ids=tokens.to(network.device),
            attention_mask=mask.to(network.device),
            generation_config=generation(
                min_new_tokens=ahead,
                max_new_tokens=ahead,
                do_sample=True,
                num_return_sequences=count,
                eos_token_id=own.eos_token_id,
                pad_token_id=own.pad_token_id,
                temperature=1.0,
                top_k=0,
                top_p=1.0,
            ),
            logits_processor=LogitsProcessorList([chooser]),
        )
        paths = chosen[:, -ahead:].reshape(len(series), count, ahead).to(scale.device)
        parts.append(pipeline.tokenizer.output_transform(paths, scale))
        series = torch.cat([series, parts[-1].median(dim=1).values.to(series)], dim=1)
    return torch.cat(parts, dim=2)
