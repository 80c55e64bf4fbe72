"""What arrays hold, in words: the types that signatures name."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]  # which of n rows
Mask = NDArray[np.bool_]  # (n,) whether a row belongs to it
Names = NDArray[np.str_]
