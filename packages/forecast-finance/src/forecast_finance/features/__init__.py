"""The 29 classical features of a bar: technical, multi-timeframe and smart money, every one causal.

The row of a bar depends on that bar and earlier ones of its symbol alone. What cannot be known (an average
before it has run in, a timeframe the bars cannot give) is NaN, never a made-up number.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from forecast_core.lazy import lazy_exports

if TYPE_CHECKING:
    from forecast_finance.features.catalogue import (
        FEATURES as FEATURES,
        VERSION as VERSION,
        Feature as Feature,
        FeatureConfig as FeatureConfig,
        names as names,
    )
    from forecast_finance.features.causality import (
        CausalityReport as CausalityReport,
        check_causality as check_causality,
    )
    from forecast_finance.features.computing import (
        FeatureTable as FeatureTable,
        compute as compute,
        table as table,
    )

_EXPORTS = {
    "catalogue": ("FEATURES", "VERSION", "Feature", "FeatureConfig", "names"),
    "causality": ("CausalityReport", "check_causality"),
    "computing": ("FeatureTable", "compute", "table"),
}

__getattr__, __dir__, __all__ = lazy_exports(__name__, _EXPORTS)
