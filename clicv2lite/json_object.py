"""JSON that somebody else may have written: an object, or a ValueError (RFC 8259)."""

import json
from typing import Any


def read_object(text: str | bytes) -> dict[str, Any]:
    """The object that a JSON text holds. Its values are as unknown as before: check them.

    Raises:
        ValueError: if it is not JSON, or too deep to be read, or no object.
    """
    try:
        value = json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    if not isinstance(value, dict):
        raise ValueError("not a JSON object")
    return value
