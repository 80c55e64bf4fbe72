"""Which hand-crafted measures belong together (book chapter 11)."""

from collections.abc import Callable, Mapping

from clicv2lite.baselines.measures.basic import MEASURES, Pixels
from clicv2lite.baselines.measures.clutter import feature_congestion, subband_entropy
from clicv2lite.baselines.measures.multiscale import gradient_energy, sobel_gradient, unique_colors

PLAIN: dict[str, Callable[[Pixels], float]] = MEASURES | {
    f.__name__: f for f in (gradient_energy, sobel_gradient, unique_colors)
}

SETS: dict[str, Mapping[str, Callable[[Pixels], float]]] = {
    "eight": MEASURES,
    "plain": PLAIN,
    "all": PLAIN | {f.__name__: f for f in (feature_congestion, subband_entropy)},
}
"""Set -> measures: the eight of chapter 1; with the three that need no other package; with the two that need visual-clutter."""
