"""`traffic/stmgt` at the size of Los-loop: an epoch of training beside its like on PyG, and prediction.

207 nodes, 2833 edges (each node's to itself, and 1313 in both directions), the 1388 windows of 70 % of a week
in batches of 16; random speeds, on which time does not depend. The network is that of the default
configuration, also with `compile_attention`; the other one has torch_geometric's GATv2Conv, on the replicated
batch, where it has `SharedGATv2`. Weights are copied, so that all give the same loss, which is checked. Their
steps are done in turn, one thread, and compiling is not counted; prediction is from context to distribution,
two threads.

    python benchmarks/traffic_training.py
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import numpy as np
import torch
import torch_geometric
from torch import Tensor, nn

import forecast_core as fc
from forecast_traffic import GraphPanel
from forecast_traffic.nn import EdgePlan

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    from torch_geometric.nn import GATv2Conv

NODES, LINKS, BATCH, ROWS = 207, 1_313, 16, 1_411


class OnPyG(nn.Module):
    """A road attention of PyG in the place of ours, with its weights."""

    def __init__(self, ours: Any) -> None:
        super().__init__()
        width = ours.in_channels
        self.layer = GATv2Conv(width, ours.out_channels, heads=ours.heads, add_self_loops=False)
        names = {"lin_l.weight": "left.weight", "lin_l.bias": "left.bias", "bias": "bias"}
        names |= {"lin_r.weight": "right.weight", "lin_r.bias": "right.bias"}
        state = {theirs: ours.state_dict()[mine] for theirs, mine in names.items()}
        self.layer.load_state_dict({**state, "att": ours.attention.detach()[None]})
        self.edges: dict[int, Tensor] = {}

    def forward(self, x: Tensor, plan: EdgePlan) -> Tensor:
        """x [N, B, D], as `SharedGATv2`."""
        n, b, d = x.shape
        if b not in self.edges:
            one = torch.stack([plan.source, plan.destination])
            self.edges[b] = (one[:, None] + (torch.arange(b) * n)[None, :, None]).reshape(2, -1)
        flat = x.transpose(0, 1).reshape(b * n, d)
        return self.layer(flat, self.edges[b]).view(b, n, -1).transpose(0, 1).contiguous()


def main() -> None:
    warnings.simplefilter("ignore")
    print(f"torch {torch.__version__}, torch_geometric {torch_geometric.__version__}")
    torch.set_num_threads(1)
    panel = network()
    model: Any = fc.create_model("traffic/stmgt", max_epochs=1, windows_per_epoch=BATCH)
    model.fit(panel)
    config = model.config
    source = model._source(panel, np.arange(config.context_length - 1, ROWS - config.horizon))
    batch = source.batch(torch.arange(BATCH))
    ours = model._network.train()
    networks = {"SharedGATv2": ours}
    for name in ("compiled", "PyG"):
        networks[name] = model._build(ours.head.each.anchors)
        networks[name].load_state_dict(ours.state_dict())
    for block in networks["compiled"].blocks:
        block.road.compile_mode = "auto"
    for block in networks["PyG"].blocks:
        block.road = OnPyG(block.road)
    objective = model._objective()
    losses = {name: check(net.eval(), objective, batch) for name, net in networks.items()}
    assert max(losses.values()) - min(losses.values()) < 1e-4, losses
    steps = {name: stepper(net.train(), objective) for name, net in networks.items()}
    for step in steps.values():
        step(batch)
        step(source.batch(torch.arange(len(source) % BATCH)))  # the last batch's size is compiled too
    wall, busy = (dict.fromkeys(steps, 0.0) for _ in range(2))
    for index in torch.randperm(len(source)).split(BATCH):
        for name, step in steps.items():
            began, worked = time.perf_counter(), time.process_time()
            step(source.batch(index))
            wall[name] += time.perf_counter() - began
            busy[name] += time.process_time() - worked
    for name in steps:
        ratios = (times["PyG"] / times[name] for times in (wall, busy))
        told = "{:6.1f} s wall, {:6.1f} s busy; {:5.2f}x, {:5.2f}x".format(wall[name], busy[name], *ratios)
        print(f"epoch of {len(source)} windows, {name:12} {told}")
    ours.eval()
    torch.set_num_threads(2)
    times = []
    for _ in range(20):
        began = time.perf_counter()
        model.predict(panel).quantile([0.05, 0.5, 0.95])
        times.append(time.perf_counter() - began)
    usual, best = 1e3 * np.median(times), 1e3 * min(times)
    print(f"prediction with three quantiles, {NODES} nodes x 12 steps: {usual:.0f} ms, best {best:.0f}")


def stepper(net: nn.Module, objective: Any) -> Any:
    """One step of training on a batch."""
    optimizer = torch.optim.AdamW(net.parameters(), lr=1e-4)

    def step(batch: Any) -> None:
        optimizer.zero_grad()
        objective(net, batch).total.backward()
        optimizer.step()

    return step


def check(net: nn.Module, objective: Any, batch: Any) -> float:
    """The loss without dropout."""
    with torch.no_grad():
        return float(objective(net, batch).total)


def network() -> GraphPanel:
    """Random speeds on a random graph of the size of Los Angeles' detectors."""
    rng = np.random.default_rng(0)
    values = 60 + rng.normal(0, 5, (ROWS, NODES, 1))
    times = np.datetime64("2024-01-01", "us") + np.arange(ROWS) * np.timedelta64(5, "m")
    begins, ends = np.triu_indices(NODES, 1)
    links = rng.choice(len(begins), LINKS, replace=False)
    nodes = np.arange(NODES)
    forth, back = (np.concatenate([a[links], b[links], nodes]) for a, b in ((begins, ends), (ends, begins)))
    return GraphPanel(values, times, tuple(range(NODES)), np.stack([forth, back]))


if __name__ == "__main__":
    main()
