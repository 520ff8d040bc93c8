"""`fit_network`: epochs over index windows, with everything needed to go on after a kill."""

from __future__ import annotations

import time
from collections.abc import Collection
from contextlib import nullcontext
from dataclasses import asdict
from math import ceil, isfinite
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from forecast_core.errors import ArtifactError, InvalidInputError, ShapeError
from forecast_core.run import Run
from forecast_core.training.averaging import WeightAverage
from forecast_core.training.checkpoints import Checkpoint, read_checkpoint, write_checkpoint
from forecast_core.training.contract import BatchSource, EpochRecord, Loss, LossTerms, TrainingResult
from forecast_core.training.divergence import DivergenceError, check_losses, check_weights
from forecast_core.training.engine import Engine, open_engine
from forecast_core.training.optimizers import make_optimizer
from forecast_core.training.options import TrainingOptions
from forecast_core.training.randomness import Stream, deterministic_algorithms, epoch_order, seeded
from forecast_core.training.schedules import rate_factor
from forecast_core.training.settings import check_settings, lineage_settings, run_settings
from forecast_core.training.stopping import EarlyStopping

__all__ = ["fit_network"]

_LAST, _BEST = "last.safetensors", "best.safetensors"
_TOTAL = "loss"


def fit_network(
    network: nn.Module,
    source: BatchSource,
    loss: Loss,
    *,
    options: TrainingOptions,
    seed: int,
    validation: BatchSource | None = None,
    validation_loss: Loss | None = None,
    run: Run | None = None,
) -> TrainingResult:
    """Train `network` in place; it ends on the device, in evaluation mode.

    loss(module, batch) is the mean over the batch's windows, a scalar, or `LossTerms`, whose terms are told
    apart; validation_loss (default: loss) is averaged over all validation windows, in order. The weights
    kept are those of the lowest validation loss, or the last ones without validation. Order and dropout
    follow from (seed, epoch); torch's global generators are left as they were. A run with a folder gets a
    checkpoint after every epoch (`checkpoints/last.safetensors`, and the kept weights in `best.safetensors`),
    and goes on from there if it resumes: on a CPU the weights are then bit for bit those of an uninterrupted
    run. A listener that calls `run.stop()` ends training after the present epoch.

    Raises InvalidInputError for an empty source, a negative seed or a network without weights; ShapeError
    if a loss is no scalar; DivergenceError if a loss or the weights are not finite, which leaves the last
    checkpoint as it was; ConfigError when resuming with other settings; ArtifactError for a checkpoint that
    is damaged or cannot be written.
    """
    run = Run() if run is None else run
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        raise InvalidInputError("seed", "is a whole number, at least 0", got=repr(seed))
    for name, each in (("source", source), ("validation", validation)):
        if each is not None and len(each) < options.devices:
            raise InvalidInputError(name, "has at least one window for each device", got=len(each))
    if not any(parameter.requires_grad for parameter in network.parameters()):
        raise InvalidInputError("network", "has weights to train")
    engine = open_engine(options)
    with deterministic_algorithms(options.deterministic, engine.device):
        training = _Training(
            network,
            source,
            loss,
            options=options,
            seed=seed,
            engine=engine,
            validation=validation,
            validation_loss=loss if validation_loss is None else validation_loss,
        )
        training.open(run)
        stopped = False
        while not (training.finished or stopped):
            metrics = training.epoch()
            # Told before it is saved: after a kill in between the epoch is told twice, not never.
            if engine.rank == 0:
                run.emit(
                    "forecast_epoch_finished", epoch=training.epochs_run, metrics=MappingProxyType(metrics)
                )
            training.save(run)
            stopped = engine.any(run.stopped)
        training.keep_best()
    network.eval()
    return training.result()


class _Training:
    """State between epochs, and how an epoch changes it."""

    def __init__(
        self,
        network: nn.Module,
        source: BatchSource,
        loss: Loss,
        *,
        options: TrainingOptions,
        seed: int,
        engine: Engine,
        validation: BatchSource | None,
        validation_loss: Loss,
    ) -> None:
        self.options, self.seed, self.engine = options, seed, engine
        self.source, self.loss = source, loss
        self.validation, self.validation_loss = validation, validation_loss
        self.network = network.to(engine.device)
        self.parameters = [parameter for parameter in network.parameters() if parameter.requires_grad]
        self.optimizer = make_optimizer(options, self.parameters)
        self.optimizer.zero_grad()  # gradients left by an earlier use
        self.settings = run_settings(network, options, seed=seed, source=source, validation=validation)
        self.module: Any = engine.prepare(network, self.optimizer)
        self.uncompilable: tuple[type[Exception], ...] = ()
        if options.compile:
            from forecast_core.training.compiling import UNCOMPILABLE, Compiled

            self.module, self.uncompilable = Compiled(self.module), UNCOMPILABLE
        self.average = None if options.ema is None else WeightAverage(self.parameters, options.ema)
        self.stopping = EarlyStopping(options.patience, options.min_delta)
        self.best: dict[str, Any] | None = None
        self.history: list[EpochRecord] = []
        self.seconds: list[float] = []
        self.windows = min(options.windows_per_epoch or len(source), len(source))
        share = self.windows // engine.world  # the same on every process, so that their steps are too
        if not share:
            raise InvalidInputError(
                "source", "has at least one window an epoch for each device", got=self.windows
            )
        self.windows = share * engine.world
        self.steps = ceil(share / (options.batch_size * options.accumulate))

    @property
    def epochs_run(self) -> int:
        return len(self.history)

    @property
    def finished(self) -> bool:
        return self.epochs_run >= self.options.max_epochs or self.stopping.should_stop

    # an epoch

    def epoch(self) -> dict[str, float]:
        """Train and validate for one epoch; what to tell listeners of it."""
        epoch, began = self.epochs_run + 1, time.perf_counter()
        where = {"seed": self.seed, "epoch": epoch, "rank": self.engine.rank}
        with seeded(self.engine.device, Stream.TRAINING, **where):
            train, rate = self._train(epoch)
        valid: dict[str, float] = {}
        if self.validation is not None:
            # The same draws in every epoch, so that a loss that samples compares epochs fairly.
            with seeded(self.engine.device, Stream.VALIDATION, **{**where, "epoch": 0}):
                valid = self._validate(self.validation, epoch)
        self.seconds.append(time.perf_counter() - began)
        losses = train.pop(_TOTAL), valid.pop(_TOTAL, None)
        terms = {
            f"{part}_{k}": v for part, found in (("train", train), ("valid", valid)) for k, v in found.items()
        }
        record = EpochRecord(epoch, *losses, rate, self.seconds[-1], terms)
        self.history.append(record)
        told = {name: value for name, value in asdict(record).items() if name not in ("epoch", "terms")}
        metrics = {name: value for name, value in (told | terms).items() if value is not None}
        usual = sorted(self.seconds)[len(self.seconds) // 2]
        left = 0 if self.finished else self.options.max_epochs - epoch
        return {**metrics, "eta_seconds": left * usual, "max_epochs": float(self.options.max_epochs)}

    def _train(self, epoch: int) -> tuple[dict[str, float], float]:
        """Means of the training loss and its terms, and the last learning rate of an epoch."""
        options, engine = self.options, self.engine
        order = epoch_order(len(self.source), self.windows, seed=self.seed, epoch=epoch)
        order = order[engine.rank :: engine.world].to(engine.device)
        losses: list[dict[str, Tensor]] = []
        terms: Collection[str] = ()
        step, rate = (epoch - 1) * self.steps, options.learning_rate
        self.module.train()
        for group in torch.split(order, options.batch_size * options.accumulate):
            rate = self._set_rate(step)
            try:
                told = self._gradients(group, terms)
            except self.uncompilable as error:  # a backward pass is compiled when it is first needed
                self.module.give_up(error)
                self.optimizer.zero_grad()
                told = self._gradients(group, terms)
            losses += told
            terms = told[-1].keys()
            if options.gradient_clip is not None:
                engine.clip(self.parameters, options.gradient_clip)
            engine.step()
            self.optimizer.zero_grad()
            if self.average is not None:
                self.average.update()
            step += 1
        rows = [torch.stack([each[term] for each in losses]) for term in terms]
        table = torch.stack(rows)  # [1 + terms, batch]
        table = (engine.total(table) / engine.world).cpu()  # the epoch's only wait for the device
        check_losses(table[0], epoch=epoch, batches_per_step=options.accumulate)
        check_weights(self.parameters, epoch=epoch, steps=self.steps)
        sizes = torch.tensor(
            [len(part) for part in torch.split(order, options.batch_size)], dtype=torch.float64
        )
        means = (table.double() @ sizes / sizes.sum()).tolist()
        return dict(zip(terms, means, strict=True)), rate

    def _gradients(self, group: Tensor, terms: Collection[str]) -> list[dict[str, Tensor]]:
        """Add up the gradients of a step's windows; loss and terms of each of its batches."""
        batches, told = torch.split(group, self.options.batch_size), []
        for number, index in enumerate(batches, start=1):
            with self.engine.accumulating(number < len(batches)):
                with self.engine.autocast():
                    loss = self.loss(self.module, self.source.batch(index))
                    parts = _parts(loss, "loss", known=terms)
                value, share = parts[_TOTAL], len(index) / len(group)
                self.engine.backward(value if share == 1 else value * share)
            told.append({term: part.detach() for term, part in parts.items()})
            terms = parts.keys()
        return told

    def _set_rate(self, step: int) -> float:
        options = self.options
        factor = rate_factor(
            options.schedule,
            step,
            total_steps=options.max_epochs * self.steps,
            warmup=options.warmup,
            milestones=[epoch * self.steps for epoch in options.milestones],
        )
        rate = options.learning_rate * factor
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        return rate

    @torch.no_grad()
    def _validate(self, validation: BatchSource, epoch: int) -> dict[str, float]:
        """Means of the validation loss and its terms; takes note of the best weights."""
        engine = self.engine
        self.network.eval()
        with nullcontext() if self.average is None else self.average.applied():
            every = torch.arange(engine.rank, len(validation), engine.world, device=engine.device)
            names: list[str] = []
            values, sizes = [], []
            for index in torch.split(every, self.options.batch_size):
                with engine.autocast():
                    batch = validation.batch(index)
                    told = self.validation_loss(self.network, batch)
                    parts = _parts(told, "validation_loss", known=names)
                names = list(parts)
                values.append(torch.stack([part.float() for part in parts.values()]))
                sizes.append(len(index))
            weights = torch.tensor(sizes, dtype=torch.float32, device=engine.device)
            sums = torch.stack(values, 1) @ weights  # [1 + terms]
            total = engine.total(torch.cat([sums, weights.sum()[None]]))
            means = dict(zip(names, (total[:-1] / total[-1]).tolist(), strict=True))
            loss = means[_TOTAL]
            if not isfinite(loss):
                raise DivergenceError("validation loss", epoch=epoch, step=0, got=loss)
            if self.stopping.observe(epoch, loss):
                state = self.network.state_dict()
                self.best = {k: v.clone() if isinstance(v, Tensor) else v for k, v in state.items()}
        return means

    # the end

    def keep_best(self) -> None:
        """Give the network the weights to keep."""
        if self.best is not None:
            self.network.load_state_dict(self.best)
        elif self.average is not None:
            self.average.apply()

    def result(self) -> TrainingResult:
        """What `fit_network` returns."""
        return TrainingResult(
            history=tuple(self.history),
            best_epoch=self.epochs_run if self.best is None else self.stopping.best_epoch,
            epochs_run=self.epochs_run,
            stopped_early=self.epochs_run < self.options.max_epochs,
        )

    # checkpoints

    def open(self, run: Run) -> None:
        """Go on from the run's last checkpoint, or clear away those of an earlier run in its folder."""
        folder = run.checkpoints
        if folder is None:
            return
        self.settings |= lineage_settings(run)
        last = folder / _LAST
        if run.resume and last.exists():
            checkpoint = read_checkpoint(last)
            check_settings(checkpoint.settings, self.settings)
            try:
                self._restore(checkpoint.state)
            except (KeyError, TypeError, ValueError, RuntimeError) as error:
                raise ArtifactError(f"{last}: does not fit this network and optimizer: {error}") from error
        elif self.engine.rank == 0:
            try:
                for name in (_LAST, _BEST):
                    (folder / name).unlink(missing_ok=True)
            except OSError as error:
                raise ArtifactError(f"{folder}: cannot be cleared: {error.strerror or error}") from error

    def save(self, run: Run) -> None:
        """Write the state after this epoch, and the best weights if they are this epoch's."""
        folder = run.checkpoints
        if folder is None or self.engine.rank != 0:
            return
        epoch, settings = self.epochs_run, self.settings
        # Best first: a kill in between leaves an epoch that is done again and saved again.
        if self.best is not None and self.stopping.best_epoch == epoch:
            write_checkpoint(folder / _BEST, Checkpoint(epoch, settings, {"network": self.best}))
        state = {
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "engine": self.engine.state(),
            "average": None if self.average is None else self.average.state(),
            "best": self.best,
            "stopping": self.stopping.state(),
            "history": [asdict(record) for record in self.history],
        }
        write_checkpoint(folder / _LAST, Checkpoint(epoch, settings, state))

    def _restore(self, state: Any) -> None:
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.engine.restore(state["engine"])
        if self.average is not None:
            self.average.restore(state["average"])
        self.best = state["best"]
        self.stopping.restore(state["stopping"])
        self.history = [EpochRecord(**record) for record in state["history"]]


def _parts(value: Tensor | LossTerms, name: str, *, known: Collection[str] = ()) -> dict[str, Tensor]:
    """The loss as "loss", first, and its terms by name; known: the names of batches before, in order."""
    parts = {_TOTAL: value.total, **value.terms} if isinstance(value, LossTerms) else {_TOTAL: value}
    for term, part in parts.items():
        place = None if term == _TOTAL else term
        if not isinstance(part, Tensor):
            rule = "is a tensor or LossTerms of tensors"
            raise InvalidInputError(name, rule, place=place, got=type(part).__name__)
        if part.ndim:
            rule = "is a scalar, the mean over the batch's windows"
            raise ShapeError(name, rule, place=place, got=list(part.shape))
    if not known:
        return parts
    if parts.keys() != set(known):
        wanted = [term for term in known if term != _TOTAL]
        got = [term for term in parts if term != _TOTAL]
        raise InvalidInputError(name, f"has the same terms in every batch, {wanted}", got=got)
    return {term: parts[term] for term in known}
