"""`traffic/stmgt`: spatial-temporal multi-modal graph transformer."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from forecast_core.config import ModelConfig
from forecast_core.data import Freq
from forecast_core.errors import InvalidInputError
from forecast_traffic.configs import STMGTConfig
from forecast_traffic.graph.clock import slots_of_day
from forecast_traffic.graph.windows import GraphWindows
from forecast_traffic.models.trained import TrainedNetwork
from forecast_traffic.nn.multimodal_transformer import MultimodalSizes, MultimodalTransformer

__all__ = ["STMGT"]


class STMGT(TrainedNetwork):
    """Attention along time, along the roads, to all nodes, and to the weather, ending in a mixture a step.

    A panel's edges are to be those of training, or none, which means the same. Weather and events are used
    where the training data has them; steps whose weather is NaN are masked.

    Sources: Vaswani et al. (2017); Brody et al. (2022) for attention along edges; Liu et al. (2023),
    STAEformer, for the adaptive embedding; Shao et al. (2022), STID, for identities; Bishop (1994) for the
    mixture.
    """

    config_class: ClassVar[type[ModelConfig]] = STMGTConfig
    uses_graph: ClassVar[bool] = True

    config: STMGTConfig

    def _build(self, anchors: Tensor) -> nn.Module:
        config, known = self.config, self._known
        sizes = MultimodalSizes(
            nodes=len(known.nodes),
            slots=slots_of_day(Freq.parse(known.freq)),
            channels=len(known.channels),
            weather=len(known.weather),
            weather_types=known.weather_types,
            events=known.events,
        )
        return MultimodalTransformer(
            sizes,
            torch.from_numpy(_edges(self._edges[0], both_ways=config.both_ways)),
            context_length=config.context_length,
            horizon=config.horizon,
            patch_length=config.patch_length,
            hidden_size=config.hidden_size,
            head_size=config.head_size,
            head_layers=config.head_layers,
            num_layers=config.num_layers,
            heads=config.heads,
            order=config.block,
            road=config.road,
            dense=config.dense,
            adaptive=config.adaptive,
            calendar=config.calendar,
            dropout=config.dropout,
            compile_attention=config.compile_attention,
            residual=config.residual,
            anchors=anchors,
            mixture_weights=config.mixture_weights,
        )

    def weather_weights(self, windows: GraphWindows) -> np.ndarray:
        """How much each window's node looks at the weather of each step [n, horizon], averaged over
        attentions, heads and tokens; the sum over steps is in 0..1, the rest being on nothing.

        Raises NotFittedError, InvalidInputError for what is no windows, or DataError for data that is not
        like training; zeros where training had no weather.
        """
        if not isinstance(windows, GraphWindows):
            hint = "panel.windows(context_length=..., horizon=...)"
            raise InvalidInputError("windows", "are GraphWindows", got=type(windows).__name__, hint=hint)
        network, source, of, nodes = self._sourced(windows)
        assert isinstance(network, MultimodalTransformer)
        if network.weather is None:
            return np.zeros((len(windows), self.config.horizon))
        parts = []
        with torch.inference_mode():
            for batch in self._batches(source):
                looked = network.explained(batch)[1]
                mean = torch.stack([each.mean((2, 3)) for each in looked]).mean(0)  # [N, B, H]
                parts.append(mean.transpose(0, 1).cpu().numpy())
        found: np.ndarray = np.concatenate(parts)[of, nodes]
        return found


def _edges(edge_index: np.ndarray, *, both_ways: bool) -> np.ndarray:
    """Distinct edges [2, E], with those against them too."""
    edges = np.concatenate([edge_index, edge_index[::-1]], axis=1) if both_ways else edge_index
    return np.unique(edges, axis=1) if edges.shape[1] else np.zeros((2, 0), dtype=np.int64)
