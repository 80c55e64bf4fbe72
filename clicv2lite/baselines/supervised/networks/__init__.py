"""The supervised baselines, one file each (CLICv2, table 1; book chapter 11)."""

import importlib
import pkgutil

from clicv2lite.baselines.supervised.settings import Baseline

BASELINES: dict[str, Baseline] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}").BASELINE for module in pkgutil.iter_modules(__path__)
}
"""Name -> baseline: every file of this folder is one."""
