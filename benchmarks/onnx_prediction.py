"""A single forecast of exported networks by onnxruntime, beside torch and beside `predict`.

Three ways to one forecast of one series: onnxruntime on the exported file, the same graph in torch, and
`predict` of the model on a panel, which also checks the panel and builds a prediction. One thread; best of
several rounds, taken in turn.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

import onnxruntime
import torch

import forecast_core as fc
from forecast_core.exporting import to_onnx
from forecast_core.exporting.onnx_file import onnx_session
from forecast_core.series.sample import sample_panel

ROUNDS, CALLS = 15, 50
MODELS = (
    ("timeseries/lstm", {"context_length": 12}),
    ("timeseries/lstm", {"context_length": 168}),
    ("timeseries/patch-transformer", {"context_length": 168}),
    ("timeseries/linear", {"context_length": 168}),
)


def best_in_turn(*calls: Callable[[], object]) -> list[float]:
    """Milliseconds a call of each, best of rounds in which they take turns."""
    best = [float("inf")] * len(calls)
    for _ in range(ROUNDS):
        for k, call in enumerate(calls):
            began = time.perf_counter()
            for _ in range(CALLS):
                call()
            best[k] = min(best[k], (time.perf_counter() - began) / CALLS * 1e3)
    return best


def main() -> int:
    torch.set_num_threads(1)
    print(f"onnxruntime {onnxruntime.__version__}, torch {torch.__version__}, one thread")
    panel = sample_panel(rows=800, items=1)
    for model_id, options in MODELS:
        training = {} if model_id == "timeseries/linear" else {"max_epochs": 1, "windows_per_epoch": 256}
        model = fc.create_model(model_id, horizon=12, **options, **training).fit(panel, seed=0)
        graph = model._graph()
        session, inputs = onnx_session(to_onnx(graph, owner=model_id)), graph.feed(panel)
        onnx, in_torch, predict = best_in_turn(
            lambda s=session, i=inputs: s.run(None, i),  # type: ignore[misc]
            lambda g=graph, i=inputs: g.run(i),  # type: ignore[misc]
            lambda m=model: m.predict(panel),  # type: ignore[misc]
        )
        print(
            f"{model_id}, context {options['context_length']:3}: onnxruntime {onnx:.3f} ms, in torch "
            f"{in_torch:.3f} ms ({in_torch / onnx:.1f}x), predict {predict:.3f} ms ({predict / onnx:.1f}x)"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
