"""Which sample comes when: a pure function of the seed and the position, so that a run resumes from its step alone."""

import numpy as np


def samples(seed: int, size: int, start: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Samples start .. start + count - 1 of an endless sequence of shuffled epochs.

    Args:
        seed: non-negative.
        size: number of images in the data set.
        start: position in the sequence, steps times global batch.
        count: samples wanted.

    Returns:
        epoch (count,) and index (count,) int64; each epoch holds every index once.
    """
    position = np.arange(start, start + count)
    epoch = position // size
    index = np.empty(count, dtype=np.int64)
    for e in np.unique(epoch):
        order = np.random.Generator(np.random.Philox(key=[seed, int(e)])).permutation(size)
        here = epoch == e
        index[here] = order[position[here] % size]
    return epoch, index
