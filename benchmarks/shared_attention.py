"""`SharedGATv2` beside torch_geometric's GATv2Conv on the replicated batch: time and memory of a step.

One thread, forward and backward, D = 64 in and out (4 heads of 16), N * B held near 80,000, about 7.3 edges
a node, no self loops. Memory is what the process grows by at most during a step, and what is kept between
forward and backward. Compiling is left out of the times. Each layer runs in a process of its own.

    python benchmarks/shared_attention.py [--quick]
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

SIZES = ((207, 384, 1512), (2000, 40, 14_600), (20_000, 4, 146_000))
LAYERS = ("pyg", "eager", "eager, plain", "compiled")
STEPS = 5


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="the smallest graph only, nothing compiled")
    parser.add_argument("--one", nargs=4, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        name, *size = options.one
        print(json.dumps(measure(name, *map(int, size))))
        return
    import torch
    import torch_geometric

    print(f"torch {torch.__version__}, torch_geometric {torch_geometric.__version__}, one thread")
    columns = "     N    B       E  layer                ms  faster  grows MB  kept MB  of PyG"
    print(columns)
    for size in SIZES[: 1 if options.quick else None]:
        found = {}
        for name in LAYERS[: 3 if options.quick else None]:
            command = [sys.executable, __file__, "--one", name, *map(str, size)]
            run = subprocess.run(command, capture_output=True, text=True, check=True)
            found[name] = json.loads(run.stdout.splitlines()[-1])
            one, pyg = found[name], found["pyg"]
            print(
                f"{size[0]:6} {size[1]:4} {size[2]:7}  {name:14} {1e3 * one['seconds']:8.0f} "
                f"{pyg['seconds'] / one['seconds']:6.2f}x {one['grows'] / 1e6:9.0f} {one['kept'] / 1e6:8.0f} "
                f"{one['grows'] / pyg['grows']:7.2f}",
                flush=True,
            )


def measure(name: str, nodes: int, copies: int, edges: int) -> dict[str, Any]:
    """Best seconds of a step, bytes the process grows by in it, bytes kept for the backward pass."""
    os.environ["OMP_NUM_THREADS"] = "1"
    warnings.simplefilter("ignore")
    import torch

    torch.set_num_threads(1)
    torch.manual_seed(0)
    step, kept = prepared(name, torch.randint(0, nodes, (2, edges)), torch.randn(nodes, copies, 64))
    step()
    step()
    times = []
    grows = 0
    for _ in range(STEPS):
        ctypes.CDLL("libc.so.6").malloc_trim(0)
        with Watch() as watch:
            began = time.perf_counter()
            step()
            times.append(time.perf_counter() - began)
        grows = max(grows, watch.grown)
    return {"seconds": min(times), "grows": grows, "kept": kept()}


def prepared(name: str, edges: Any, x: Any) -> tuple[Callable[[], None], Callable[[], int]]:
    """A step of a layer, and what it keeps for its backward pass."""
    import torch
    from torch_geometric.nn import GATv2Conv

    from forecast_traffic.nn import SharedGATv2

    nodes, copies, width = x.shape
    layer: torch.nn.Module = GATv2Conv(width, 16, heads=4, add_self_loops=False)
    if name == "pyg":
        shift = torch.arange(copies) * nodes
        edges = (edges[:, None] + shift[None, :, None]).reshape(2, -1)
        x = x.transpose(0, 1).reshape(copies * nodes, width).contiguous()
    else:
        theirs = layer.state_dict()
        layer = SharedGATv2(width, 16, recompute=name != "eager, plain", compile=name == "compiled")
        layer.load_pyg_state_dict(theirs)
    x.requires_grad_()

    def step() -> None:
        x.grad = None
        layer(x, edges).square().sum().backward()

    def kept() -> int:
        own = {p.untyped_storage().data_ptr() for p in (*layer.parameters(), x)}
        storages: dict[int, int] = {}

        def pack(tensor: Any) -> Any:
            storage = tensor.untyped_storage()
            if storage.data_ptr() not in own:
                storages[storage.data_ptr()] = storage.nbytes()
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            loss = layer(x, edges).square().sum()
        total = sum(storages.values())
        loss.backward()
        return total

    return step, kept


class Watch:
    """The most memory the process holds within, above what it held at the start, in bytes."""

    def __enter__(self) -> Watch:
        self._stop = threading.Event()
        self._start = self._most = resident()
        self._thread = threading.Thread(target=self._look)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.grown = max(self._most, resident()) - self._start

    def _look(self) -> None:
        while not self._stop.wait(0.001):
            self._most = max(self._most, resident())


def resident() -> int:
    """Bytes of memory the process holds."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


if __name__ == "__main__":
    main()
