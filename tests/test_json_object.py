import pytest

from clicv2lite.json_object import read_object


def test_an_object_is_read():
    assert read_object('{"a": [1, 2.5, null]}') == {"a": [1, 2.5, None]} == read_object(b'{"a": [1, 2.5, null]}')


@pytest.mark.parametrize(
    "text", ["", "3", "[]", '"a"', "null", "{", "[" * 100_000, '{"a":' * 100_000, "9" * 5000, b"\xff\xfe\xfd"], ids=range(10)
)
def test_anything_else_is_a_value_error(text):
    with pytest.raises(ValueError):
        read_object(text)
