"""Data: the protocols that every domain's data follows, and `Panel`, core's own."""

from forecast_core.data.freq import Freq as Freq
from forecast_core.data.panel import Panel as Panel
from forecast_core.data.protocols import Data as Data, Grouped as Grouped, Windows as Windows
from forecast_core.data.windows import PanelWindows as PanelWindows
