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
    ("text", "shown"),
    [
        ("-0.002", "\N{MINUS SIGN}0.002"),
        ("-0.01 to +0.02 (-1)", "\N{MINUS SIGN}0.01 to +0.02 (\N{MINUS SIGN}1)"),
        ("ViT-32, 3-4, 1e-5, a -b", "ViT-32, 3-4, 1e-5, a -b"),
    ],
)
def test_only_a_hyphen_before_a_number_is_a_minus_sign(extension, text, shown):
    assert extension("stored_numbers").true_minus(text) == shown


def test_glued_numbers_get_it_too(extension):
    from docutils import nodes
    from docutils.utils import new_document

    document = new_document("page")
    document += nodes.paragraph("", "", nodes.inline("", "-0.5", classes=["pasted-text"]), nodes.inline("", "-0.5"))
    extension("stored_numbers")._mend_glued(None, document)
    assert [one.astext() for one in document.findall(nodes.inline)] == ["\N{MINUS SIGN}0.5", "-0.5"]


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
