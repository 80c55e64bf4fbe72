"""For the whole suite: one thread a process, and property tests that no slow machine fails."""

import os

from hypothesis import settings

os.environ.setdefault("OMP_NUM_THREADS", "1")  # before torch is imported; the commands that tests start inherit it
settings.register_profile("clicv2lite", deadline=None, max_examples=25, derandomize="CI" in os.environ)
settings.load_profile("clicv2lite")
