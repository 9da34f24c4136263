"""Charts as inline SVG inside a <figure>, with the same numbers as a table: plain values in, safe HTML out.

Colours come from the classes s0 to s4, and every series has its own mark and dash besides. Each chart is
drawn twice, 640 and 340 units wide, because one drawing scaled down to a phone has letters nobody can read.
No queries, no models: the numbers arrive finished.
"""

from promptlab.lib.charts.days import columns, rates
from promptlab.lib.charts.rows import Bar, Interval, bars, interval, split
from promptlab.lib.charts.timeline import Moment, Series, line

__all__ = ["Bar", "Interval", "Moment", "Series", "bars", "columns", "interval", "line", "rates", "split"]
