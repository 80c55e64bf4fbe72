"""The folder that keeps what was fetched or worked out once: data sets, indexes of tars, the engine of downloads."""

import os
from pathlib import Path

import platformdirs


def cache_dir() -> Path:
    """$CLICV2LITE_CACHE, or the user's cache folder on this system."""
    return Path(os.environ.get("CLICV2LITE_CACHE") or platformdirs.user_cache_dir("clicv2lite"))
