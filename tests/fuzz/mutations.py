"""Damage to bytes and to JSON, drawn by hypothesis, so that what breaks the package is shrunk to its smallest."""

import copy
import json

from hypothesis import strategies as st

ODD_NUMBERS = [0, -1, 1, 2, 99, 10**9, 10**30, 2**63, -(2**63), 0.5, -0.0, 1e308, float("inf"), float("nan")]
ODD_TEXTS = ["", "evil", "0", "-1", "nan", "../x", "\0", "=1+1", "a" * 5000, "9" * 5000, "\ud800", "٣", "linear", "tokens"]

numbers = st.sampled_from(ODD_NUMBERS) | st.integers() | st.floats()
texts = st.sampled_from(ODD_TEXTS) | st.text(max_size=20)
values = st.recursive(
    st.none() | st.booleans() | numbers | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
places = st.floats(0, 1, exclude_max=True)
some_bytes = st.binary(min_size=1, max_size=8) | st.sampled_from(
    [b"\0" * 4, b"\xff" * 4, b"\x7f\xff\xff\xff", b'"', b"\n", b","]
)
damage = st.lists(
    st.tuples(st.sampled_from(["set", "insert", "cut", "end", "repeat"]), places, some_bytes), min_size=1, max_size=6
)


def damaged(data, changes):
    """`data` with each of the changes: bytes replaced, inserted, taken out, the end cut off, a part repeated."""
    for kind, where, new in changes:
        at = int(where * len(data))
        match kind:
            case "set":
                data = data[:at] + new + data[at + len(new) :]
            case "insert":
                data = data[:at] + new + data[at:]
            case "cut":
                data = data[:at] + data[at + 16 * len(new) :]
            case "end":
                data = data[:at]
            case "repeat":
                data = data[:at] + data[at : at + 64] * 3 + data[at:]
    return data


def leaves(value, path=()):
    """Where each value of a nested JSON value is: paths of keys and indices, containers too."""
    found = [path] if path else []
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in inner:
        found += leaves(part, (*path, key))
    return found


@st.composite
def changed_json(draw, original):
    """`original` with one to three of its values replaced by others, taken out, or joined by one that nobody knows."""
    value = copy.deepcopy(original)
    for _ in range(draw(st.integers(1, 3))):
        *way, last = draw(st.sampled_from(leaves(original)))
        try:
            inside = value
            for key in way:
                inside = inside[key]
            match draw(st.sampled_from(["replace", "replace", "replace", "drop", "add"])):
                case "replace":
                    inside[last] = draw(values)
                case "drop":
                    del inside[last]
                case "add":
                    inside["unknown"] = draw(values)
        except (KeyError, IndexError, TypeError):  # an earlier change took this place away
            continue
    return value


def as_json(value):
    """JSON text of any drawn value; nan and infinity as Python writes them."""
    return json.dumps(value, ensure_ascii=True)
