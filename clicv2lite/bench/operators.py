"""Where a training step's time goes: torch's operators by kind, from its profiler (book, cluster manual)."""

import os
from collections import Counter
from collections.abc import Mapping

import torch
from torch.profiler import ProfilerActivity, profile

from clicv2lite.bench.measure import Operation
from clicv2lite.bench.step import whole_step
from clicv2lite.recipes.recipe import Recipe

STEPS, WARM = 5, 3  # steps that are profiled, and before them
KINDS: Mapping[str, tuple[str, ...]] = {
    "matrix products": ("mm", "addmm", "bmm", "baddbmm", "_scaled_dot_product_flash_attention_for_cpu"),
    "copies and casts": ("copy_", "index", "cat", "gather", "scatter", "fill_", "masked_fill_", "flip", "where", "clone"),
    "activations and softmax": ("gelu", "gelu_backward", "_softmax", "_softmax_backward_data"),
    "normalisation": ("native_layer_norm", "native_layer_norm_backward", "native_group_norm", "native_group_norm_backward"),
    "optimizer": ("_fused_adamw_", "linalg_vector_norm", "_foreach_lerp_", "_foreach_mul_"),
}
"""Kind -> operators of torch; all others are "other element-wise work and Python"."""
OTHER = "other element-wise work and Python"


def operators(recipe: Recipe) -> dict[str, float]:
    """Kind -> its share of the processor's time in a whole step, the views included, as 0..1; the largest first.

    The loss's products are among the matrix products.
    """
    return shares_of(whole_step(recipe))


def shares_of(operation: Operation) -> dict[str, float]:
    """The same of any operation on the processor."""
    for _ in range(WARM):
        operation()
    os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # else the profiler reports on graphics cards that are not there
    with profile(activities=[ProfilerActivity.CPU]) as seen:
        for _ in range(STEPS):
            operation()
    kinds = {f"aten::{name}": kind for kind, names in KINDS.items() for name in names}
    found: Counter[str] = Counter()
    for event in seen.key_averages():
        found[kinds.get(event.key, OTHER)] += event.self_cpu_time_total
    return {kind: spent / found.total() for kind, spent in found.most_common()}


def print_table(shares: Mapping[str, float]) -> None:
    """One line for each kind."""
    print(f"\nwhere the time of a whole step goes, by torch's profiler ({torch.get_num_threads()} threads)")
    for kind, share in shares.items():
        print(f"  {kind:<52} {100 * share:6.1f} %")
