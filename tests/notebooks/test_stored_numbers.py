"""Numbers of a page come out of stored results."""

import json

import pytest

pytest.importorskip("sphinx")


@pytest.fixture
def root(tmp_path):
    (tmp_path / "claims.json").write_text(json.dumps([{"id": "a", "paper": {"(b) SP": 0.5}}, {"id": "b", "ci": [-0.123, 2]}]))
    return tmp_path


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("claims.json a/paper/(b) SP .2f", "0.50"),
        ("claims.json b/ci/0 +.2f", "\N{MINUS SIGN}0.12"),
        ("claims.json 1/ci/1 +.1f", "+2.0"),
    ],
)
def test_number_is_found_by_keys_ids_and_indices(extension, root, text, shown):
    assert extension("stored_numbers").stored(text, root) == shown


@pytest.mark.parametrize(
    "text",
    [
        "claims.json",
        "claims.json a .2f",
        "claims.json c/ci/0 .2f",
        "claims.json b/ci/2 .2f",
        "no.json a .2f",
        "claims.json b/ci/0 .2q",
    ],
)
def test_what_is_no_number_is_named(extension, root, text):
    with pytest.raises(ValueError, match="no such number"):
        extension("stored_numbers").stored(text, root)
