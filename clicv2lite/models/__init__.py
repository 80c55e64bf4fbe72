"""The model that comes with the package, in default/, and `python -m clicv2lite.models`, which makes it again (chapter 12)."""
