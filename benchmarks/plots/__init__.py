"""Pictures of results: the same bytes for the same results, as PNG and as SVG."""

from benchmarks.plots.draw import draw_all as draw_all
from benchmarks.plots.style import Picture as Picture
