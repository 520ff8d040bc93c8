"""forecast-traffic: speeds and flows on a road graph; `forecast_traffic.trajectory` holds trajectories."""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_traffic.configs import (
        HistoricalAverageConfig as HistoricalAverageConfig,
        LastValueConfig as LastValueConfig,
        LossWeights as LossWeights,
        NetworkConfig as NetworkConfig,
        SeasonalNaiveConfig as SeasonalNaiveConfig,
        STIDConfig as STIDConfig,
        STMGTConfig as STMGTConfig,
    )
    from forecast_traffic.graph.edges import (
        edges_of as edges_of,
        gaussian_kernel as gaussian_kernel,
        position_distances as position_distances,
    )
    from forecast_traffic.graph.panel import GraphPanel as GraphPanel
    from forecast_traffic.graph.readers import (
        distance_matrix as distance_matrix,
        from_tables as from_tables,
        read_adjacency as read_adjacency,
        read_network as read_network,
        read_tables as read_tables,
    )
    from forecast_traffic.graph.splitting import split_windows as split_windows
    from forecast_traffic.graph.windows import GraphWindows as GraphWindows
    from forecast_traffic.mixture import mixture_to_moments as mixture_to_moments
    from forecast_traffic.plots import (
        plot_fan as plot_fan,
        plot_network as plot_network,
        plot_weather_attention as plot_weather_attention,
    )
    from forecast_traffic.simulation import (
        SimulatedNetwork as SimulatedNetwork,
        simulate_network as simulate_network,
    )

_EXPORTS = {
    "configs": (
        "HistoricalAverageConfig",
        "LastValueConfig",
        "LossWeights",
        "NetworkConfig",
        "STIDConfig",
        "STMGTConfig",
        "SeasonalNaiveConfig",
    ),
    "graph.edges": ("edges_of", "gaussian_kernel", "position_distances"),
    "graph.panel": ("GraphPanel",),
    "graph.readers": ("distance_matrix", "from_tables", "read_adjacency", "read_network", "read_tables"),
    "graph.splitting": ("split_windows",),
    "graph.windows": ("GraphWindows",),
    "mixture": ("mixture_to_moments",),
    "plots": ("plot_fan", "plot_network", "plot_weather_attention"),
    "simulation": ("SimulatedNetwork", "simulate_network"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS, modules=("trajectory",))
__version__ = "0.1.0"
