"""A measurement in a process of its own: what it prints, or one line that says why not."""

import os

import pytest

from clicv2lite.bench.apart import printed
from clicv2lite.errors import UserError


def test_it_gives_what_was_printed_in_that_environment():
    assert printed(["-c", "import os; print(os.environ['A'])"], {**os.environ, "A": "7"}) == "7\n"


@pytest.mark.parametrize(
    "program, said",
    [
        ("import sys; sys.exit('clicv2lite: not enough memory')", "not enough memory"),
        ("import os; os._exit(137)", "it ended with status 137"),  # killed for its memory, in a container
        ("raise ValueError('one\\ntwo')", "two"),
    ],
)
def test_one_that_fails_is_one_line_with_its_reason(program, said):
    with pytest.raises(UserError) as error:
        printed(["-c", program])
    advice = "end other programs, or take a larger machine"
    assert str(error.value) == f"measuring in a process of its own failed ({said}); {advice}"
