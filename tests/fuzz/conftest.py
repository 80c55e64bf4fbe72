"""How long the attacks are: short and the same each time in `make test`; `make fuzz` draws anew, for as long as one likes."""

import os
import re
import sys

import pytest
from hypothesis import HealthCheck, settings

from clicv2lite.errors import UserError

settings.register_profile(
    "fuzz",
    parent=settings.get_profile("clicv2lite"),
    max_examples=int(os.environ.get("FUZZ_EXAMPLES", 0)) or 60,
    derandomize="FUZZ_EXAMPLES" not in os.environ,
    suppress_health_check=list(HealthCheck),
)
MEMORY = 6 << 30  # bytes of address space that an attack may take beyond what the process has


@pytest.fixture(autouse=True)
def bounded_memory():
    """Turn an absurd allocation into a MemoryError, which no attack may cause; not on systems without such a limit."""
    if not sys.platform.startswith("linux"):
        yield
        return
    import resource

    with open("/proc/self/statm", encoding="ascii") as file:
        taken = int(file.read().split()[0]) * resource.getpagesize()
    before = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (taken + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture
def refused():
    """Whether an error is the one line for a user: what it names is printable, and it stands on one line."""

    def check(error):
        assert isinstance(error, UserError)
        assert re.fullmatch(r"\S.*\S", str(error)) and str(error).isprintable(), repr(str(error))
        assert len(str(error)) < 1000, len(str(error))

    return check
