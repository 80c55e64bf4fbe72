"""The pretraining methods: CLICv2, and the methods that the paper compares it with, for one loop (book chapters 7 and 9)."""

import importlib
import pkgutil

from clicv2lite.learners.base import Method

METHODS: dict[str, Method] = {
    module.name: importlib.import_module(f"{__name__}.{module.name}").METHOD
    for module in pkgutil.iter_modules(__path__)
    if module.name != "base"
}
"""Name -> method. Every file of this folder is one method."""
