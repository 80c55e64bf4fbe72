"""Types of arrays for signatures, named by their content."""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Rows = NDArray[np.int64]  # indices of some of n rows
Mask = NDArray[np.bool_]  # (n,) whether a row belongs to it
Names = NDArray[np.str_]
