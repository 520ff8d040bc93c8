"""One queue and one thread a model: whatever waits is answered in one go, and nothing waits long."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from statistics import median
from typing import Any

from pydantic import ValidationError
from pydantic_core import to_json

from forecast_core.errors import ForecastError, InvalidInputError
from forecast_core.prediction import Prediction
from forecast_core.serving.joining import Question
from forecast_core.serving.limits import Limits
from forecast_core.serving.metrics import Metrics
from forecast_core.serving.models import Loaded, ServedModel
from forecast_core.serving.problems import (
    ModelFailureError,
    OverloadedError,
    Problem,
    RequestError,
    UnavailableError,
    renamed,
)

__all__ = ["Lane", "Work"]

_log = logging.getLogger("forecast")

_REMEMBERED, _ENOUGH = 32, 8
_APART = 4  # requests taken at a time where they need a call each: the first waits for the last


@dataclass(frozen=True, eq=False)
class Work:
    """What a request wants of a model, in two steps around its predictions.

    ask: the questions, made from the body; answer: the body of the response, made from a prediction each.
    Both run in the model's thread and raise ForecastError or ValidationError for what is wrong with the
    request. The version of the model is the same in both.
    """

    ask: Callable[[Loaded], Sequence[Question]]
    answer: Callable[[Loaded, Sequence[Prediction]], Any]


class Lane:
    """The queue of a model.

    A request that finds too many before it, or would have to wait longer than `limits.max_wait` by what
    requests took lately, is refused at once with OverloadedError; those accepted are answered in order.
    While the model is busy requests gather, and are then taken together, more at a time as long as they can
    be joined: under load batches grow, at rest nothing waits for company.
    """

    def __init__(self, model: ServedModel, *, limits: Limits, metrics: Metrics) -> None:
        self._model, self._limits, self._metrics = model, limits, metrics
        self._waiting: deque[tuple[Work, asyncio.Future[bytes]]] = deque()
        self._running = 0
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)  # a request, of recent batches
        self._most = min(limits.max_joined, _APART)
        self._arrived = asyncio.Event()
        self._closed = False
        self._thread = ThreadPoolExecutor(1, thread_name_prefix=f"forecast-{model.name}")

    def expected_wait(self) -> float:
        """Seconds until a request that came now would be begun; 0 while too little is known."""
        if len(self._seconds) < _ENOUGH:
            return 0.0
        return (len(self._waiting) + self._running) * median(self._seconds)

    def refusal(self) -> UnavailableError | None:
        """Why a request that comes now would not be taken; None where it would."""
        if self._closed:
            return UnavailableError("the server is shutting down")
        wait = self.expected_wait()
        if len(self._waiting) < self._limits.max_waiting and wait <= self._limits.max_wait:
            return None
        self._metrics.refused(self._model.name)
        return OverloadedError(f"{self._model.name}: too many requests wait", seconds=wait)

    async def submit(self, work: Work) -> bytes:
        """The JSON that answers the work. Raises OverloadedError, or what asking or predicting raised."""
        refusal = self.refusal()
        if refusal is not None:
            raise refusal
        future: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
        self._waiting.append((work, future))
        self._arrived.set()
        return await future

    async def run(self) -> None:
        """Answer what comes until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._waiting:
                count = min(len(self._waiting), self._most)
                batch = [self._waiting.popleft() for _ in range(count)]
                self._running = count
                began = time.perf_counter()
                outcomes = await loop.run_in_executor(self._thread, self._settle, [work for work, _ in batch])
                self._seconds.append((time.perf_counter() - began) / count)
                self._running = 0
                self._metrics.answered(self._model.name, count)
                for (_, future), outcome in zip(batch, outcomes, strict=True):
                    if future.done():  # its client left
                        continue
                    if isinstance(outcome, Exception):
                        future.set_exception(outcome)
                    else:
                        future.set_result(outcome)

    def close(self) -> None:
        """Refuse what still waits, and let the thread end."""
        self._closed = True
        for _, future in self._waiting:
            if not future.done():
                future.set_exception(UnavailableError("the server is shutting down"))
        self._waiting.clear()
        self._thread.shutdown(wait=False, cancel_futures=True)

    # in the model's thread

    def _settle(self, works: list[Work]) -> list[bytes | Exception]:
        loaded = self._model.current
        try:
            return self._answers(works, loaded)
        except Exception as error:
            return [_reported(error, loaded)] * len(works)

    def _answers(self, works: list[Work], loaded: Loaded) -> list[bytes | Exception]:
        asked = [_guarded(work.ask, loaded) for work in works]
        questions = [question for each in asked if not isinstance(each, Exception) for question in each]
        predictions = iter(loaded.joiner.predict(questions))
        joined = loaded.joiner.calls < len(questions)
        self._most = self._limits.max_joined if joined else min(self._limits.max_joined, _APART)
        outcomes: list[bytes | Exception] = []
        for work, each in zip(works, asked, strict=True):
            if isinstance(each, Exception):
                outcomes.append(_reported(each, loaded))
                continue
            mine = [next(predictions) for _ in each]
            failed = (_placed(a, q) for a, q in zip(mine, each, strict=True) if isinstance(a, Exception))
            found = next(failed, None) or _guarded(lambda w=work, m=mine: to_json(w.answer(loaded, m)))
            outcomes.append(_reported(found, loaded) if isinstance(found, Exception) else found)
        return outcomes


def _guarded(call: Callable[..., Any], *arguments: Any) -> Any:
    try:
        return call(*arguments)
    except ValidationError as error:
        return RequestError.of(error)
    except Exception as error:
        return error


def _placed(error: Exception, question: Question) -> Exception:
    """The error with the place of its question in the body, where that is what is wrong."""
    if question.place and isinstance(error, ForecastError) and Problem.of(error).status == 422:
        return RequestError.at(question.place, error, question.fields)
    return renamed(error, question.fields) if isinstance(error, InvalidInputError) else error


def _reported(error: Exception, loaded: Loaded) -> Exception:
    """The error as a client may see it; what is not the client's fault goes into the log."""
    if isinstance(error, ForecastError) and Problem.of(error).status != 500:
        return error
    _log.error("%s, version %s, failed", loaded.name, loaded.version, exc_info=error)
    return ModelFailureError(f"{loaded.name} failed on this request; the server's log says how")
