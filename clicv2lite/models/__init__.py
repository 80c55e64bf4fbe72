"""The model that comes with the package, in default/, and `clicv2lite release`, which makes it again (chapter 12)."""
