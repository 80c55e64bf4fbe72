"""The Sphinx extensions of book/_ext as modules."""

from collections.abc import Callable
from types import ModuleType

import pytest

from tests.notebooks.extensions import load


@pytest.fixture(scope="session")
def extension() -> Callable[[str], ModuleType]:
    """Load an extension by its name."""
    return load
