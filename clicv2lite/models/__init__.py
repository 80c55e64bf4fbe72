"""The models that come with the package, in default/ and plus/; `clicv2lite release` makes the first again (chapter 12)."""
