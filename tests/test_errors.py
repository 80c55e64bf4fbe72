"""The checks of options that several commands share: one line that names the option."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clicv2lite.errors import UserError, check_counts, check_positive, check_seed


def test_options_that_were_not_given_or_can_be_used_pass():
    check_counts(batch_size=1, jobs=None, top=10**9)
    check_positive(lr=1e-9, epochs=None)
    check_seed(0)
    check_seed(2**32 - 1)


@pytest.mark.parametrize("check, options, message", [
    (check_counts, {"jobs": 1, "batch_size": 0, "top": -1}, "--batch-size 0: give 1 or more"),
    (check_positive, {"lr": 0.0}, "--lr 0.0: give a number above 0"),
    (check_positive, {"timeout": math.nan}, "--timeout nan: give a number above 0"),
    (check_positive, {"lr": math.inf}, "--lr inf: give a number above 0"),
    (check_seed, {"seed": -1}, "--seed -1: give a whole number from 0 to 4294967295"),
    (check_seed, {"seed": 2**32}, "--seed 4294967296: give a whole number from 0 to 4294967295"),
])  # fmt: skip
def test_the_first_option_that_cannot_be_used_is_named(check, options, message):
    with pytest.raises(UserError) as error:
        check(**options)
    assert str(error.value) == message


@given(st.text(), st.integers(0, 5000))
def test_a_message_is_one_printable_line_of_a_bearable_length_whatever_it_repeats(name, digits):
    message = str(UserError(f"--set size={'9' * digits} in {name}: write a number"))
    assert message.isprintable() and message.endswith(": write a number") and len(message) < 20 * len(name) + 500
    assert digits > 300 or f"size={'9' * digits} " in message
