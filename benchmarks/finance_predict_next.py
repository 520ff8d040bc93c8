"""How long `predict_next` of finance/ensemble takes at its default sizes, beside the bare networks' passes.

Budget: 100 ms of processor time on one core, with the embedding of the last window in the cache; processor
time leaves neighbours out. The weights are of a fit of one step, since time does not depend on what they are.
"""

from __future__ import annotations

import sys
import tempfile
import time

import numpy as np
import torch

import forecast_core as fc
from forecast_finance import embeddings, random_walk

ROUNDS = 20


def main() -> int:
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, numpy {np.__version__}, one thread")
    with tempfile.TemporaryDirectory() as cache:
        member = {"max_epochs": 1, "windows_per_epoch": 16, "batch_size": 16, "embedding_cache": cache}
        model = fc.create_model(
            "finance/ensemble",
            timeformer=member,
            tft=member,
            folds=1,
            veto={"max_rounds": 200, "min_leaf": 20},
        )
        bars = random_walk(symbols=1, rows=400)
        model.fit(bars)
        rows = np.array([len(bars) - 1])
        embeddings.embed_rows(
            bars, rows, embedder=embeddings.create("statistical"), cache=embeddings.EmbeddingCache(cache)
        )
        times, bare = [], []
        for _ in range(ROUNDS):
            began = time.process_time()
            model.predict_next(bars)  # type: ignore[attr-defined]
            times.append(time.process_time() - began)
            began = time.process_time()
            with torch.inference_mode():
                for each in model._members.values():  # type: ignore[attr-defined]
                    source = each._source(bars.windows(context_length=120, origins=bars.timeline[-1:]))
                    each._network(source.batch(torch.tensor([0])))
            bare.append(time.process_time() - began)
    best, usual = 1e3 * min(times), 1e3 * float(np.median(times))
    print(
        f"predict_next: best {best:.1f} ms, median {usual:.1f} ms of {ROUNDS}; "
        f"its inputs and networks alone {1e3 * min(bare):.1f} ms, ratio {min(times) / min(bare):.2f}"
    )
    return 0 if usual < 100 else 1


if __name__ == "__main__":
    sys.exit(main())
