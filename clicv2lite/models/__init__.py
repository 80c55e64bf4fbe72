"""The models that come with the package, in default/, lite/ and plus/; `release` makes the first two (chapter 12)."""
