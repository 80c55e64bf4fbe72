"""clicv2lite: image complexity learned without labels (CLICv2, arXiv 2503.06641)."""

__version__ = "0.1.0"
