"""clicv2lite: image complexity learned without labels (CLICv2, arXiv 2503.06641)."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clicv2lite.models.hub import ComplexityModel
    from clicv2lite.models.model import load_model as load
    from clicv2lite.models.regressor import ComplexityRegressor

__all__ = ["ComplexityModel", "ComplexityRegressor", "load"]
__version__ = "0.1.0"

LAZY = {
    "load": ("clicv2lite.models.model", "load_model"),
    "ComplexityModel": ("clicv2lite.models.hub", "ComplexityModel"),
    "ComplexityRegressor": ("clicv2lite.models.regressor", "ComplexityRegressor"),
}


def __getattr__(name: str) -> Any:  # imported on first use: torch takes seconds, and `clicv2lite --help` does not need it
    if name in LAZY:
        module, attribute = LAZY[name]
        return getattr(importlib.import_module(module), attribute)
    raise AttributeError(f"module 'clicv2lite' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *LAZY})
