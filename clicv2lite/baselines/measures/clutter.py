"""Two measures of clutter: Feature Congestion and Subband Entropy (Rosenholtz, Li and Nakano 2007; book chapter 11).

Both are those of the package visual-clutter, which is not installed with this one. Its requirements (numpy below 1.25, Pillow
below 9) are older than ours, but its code runs with today's versions:

    pip install --no-deps visual-clutter pyrtools && pip install opencv-python-headless requests

Inputs and errors as in :mod:`clicv2lite.baselines.measures.basic`.
"""

from typing import Any

from clicv2lite.baselines.measures.basic import Pixels, checked
from clicv2lite.errors import UserError

INSTALL = "pip install --no-deps visual-clutter pyrtools && pip install opencv-python-headless requests"


def feature_congestion(image: Pixels) -> float:
    """How little room is left for something to stand out: variability of colour, contrast and orientation around each place.

    Raises:
        UserError: if visual-clutter is not installed.
    """
    return float(_clutter(image).getClutter_FC(p=1, pix=0)[0])


def subband_entropy(image: Pixels) -> float:
    """What an efficient code would cost: entropy of a steerable pyramid's subbands in CIELab, colour weighted 0.0625, in bits.

    Raises:
        UserError: if visual-clutter is not installed.
    """
    return float(_clutter(image).getClutter_SE(wlevels=3, wght_chrom=0.0625))


def _clutter(image: Pixels) -> Any:
    try:
        from visual_clutter import Vlc
    except ImportError as error:
        raise UserError(f"--set all: clutter needs the package visual-clutter ({error}); {INSTALL}") from None
    # the paper's settings, as the package's own example has them
    return Vlc(checked(image).copy(), numlevels=3, contrast_filt_sigma=1, contrast_pool_sigma=3, color_pool_sigma=3)
