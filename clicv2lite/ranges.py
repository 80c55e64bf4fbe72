"""Types that state the allowed range of a setting where it is declared, ``mask_ratio: Share = 0.6``, and the check of a value.

Every number has an upper bound, far above what anyone needs: a file or a slip of the finger must not ask for all memory.
"""

import dataclasses
import functools
import math
import types
import typing
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, Lt

from clicv2lite.errors import one_line

Count = Annotated[int, Gt(0), Le(10**9)]
WholeNumber = Annotated[int, Ge(0), Le(10**9)]
Passes = Annotated[int, Gt(0), Le(10**15)]  # images seen in a run
Pixels = Annotated[int, Gt(0), Le(8192)]  # side of an image
PixelsOrZero = Annotated[int, Ge(0), Le(8192)]
Width = Annotated[int, Gt(0), Le(16_384)]  # of a token; 6,144 in the largest ViT that was published
Depth = Annotated[int, Gt(0), Le(256)]
Positive = Annotated[float, Gt(0), Le(1e6)]
NonNegative = Annotated[float, Ge(0), Le(1e6)]
Share = Annotated[float, Ge(0), Le(1)]
ShareBelowOne = Annotated[float, Ge(0), Lt(1)]
LONGEST = 1000  # items of a list, letters of a text
SHOWN = 60  # letters of a wrong value in a message


@dataclass(frozen=True)
class OneOf:
    """The value is a name in a registry, which may grow later: ``Annotated[str, OneOf(TARGETS)]``."""

    names: Iterable[str]

    def __repr__(self) -> str:
        return f"OneOf({', '.join(self.names)})"


def fault(value: float, bounds: Iterable[object]) -> str | None:
    """The end of an error message about a number outside its bounds; None if it lies within all of them. A nan never does."""
    words, good = [], True
    for bound in bounds:
        match bound:
            case Gt(gt=low):
                words.append(f"above {low}")
                good &= value > low  # type: ignore[operator]
            case Ge(ge=low):
                words.append(f"{low} or more")
                good &= value >= low  # type: ignore[operator]
            case Lt(lt=high):
                words.append(f"below {high}")
                good &= value < high  # type: ignore[operator]
            case Le(le=high):
                words.append(f"at most {high:,}" if isinstance(high, int) else f"at most {high}")
                good &= value <= high  # type: ignore[operator]
    return None if good else f"must be {' and '.join(words)}"


def misfit(value: object, kind: Any) -> str | None:
    """The end of an error message about a value that is not of an annotated type, or outside its range; None if it fits.

    A list may stand for a tuple, and a whole number for a float, as in JSON. Lists name nothing twice. No number is infinite.
    """
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return misfit(value, args[0]) or _outside(value, args[1:])
    if origin in (typing.Union, types.UnionType):
        if value is None and type(None) in args:
            return None
        return misfit(value, next(part for part in args if part is not type(None)))
    wrong = f"must be {describe(kind)}"
    if origin is Literal:
        return None if isinstance(value, str) and value in args else wrong
    if origin is tuple:
        if not isinstance(value, list | tuple) or len(value) > LONGEST:
            return wrong
        reason = next((reason for part in value if (reason := misfit(part, args[0]))), None)
        return reason or ("must name nothing twice" if len(set(value)) < len(value) else None)
    if dataclasses.is_dataclass(kind):
        return wrong_field(value) if isinstance(value, typing.cast(type, kind)) else wrong
    if isinstance(value, bool) or kind is bool:
        return None if isinstance(value, bool) and kind is bool else wrong
    if isinstance(value, str):
        return None if kind is str and len(value) <= LONGEST else wrong
    if kind is float:
        return None if isinstance(value, int | float) and _finite(value) else wrong
    return None if kind is int and isinstance(value, int) else wrong


def wrong_field(record: object) -> str | None:
    """The first field of a dataclass that does not fit its declared type and range, as ``key=value: why``; None if all fit."""
    kinds: Any = type(record)
    for name, kind in _hints(kinds).items():
        if reason := misfit(value := getattr(record, name), kind):
            return reason if dataclasses.is_dataclass(kind) else f"{name}={shown(value)}: {reason}"
    return None


def describe(kind: Any) -> str:
    """The annotated type in words, for an error message."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        names = next((bound.names for bound in args[1:] if isinstance(bound, OneOf)), None)
        return describe(args[0]) if names is None else " or ".join(names)
    if origin is Literal:
        return " or ".join(args)
    if origin is tuple:
        return f"a comma-separated list of {describe(args[0])}"
    if origin in (typing.Union, types.UnionType):
        return " or ".join("none" if a is type(None) else describe(a) for a in args)
    return {int: "a whole number", float: "a number", bool: "true or false", str: "text"}.get(kind, "a group of settings")


def shown(value: object) -> str:
    """A wrong value in a message: on one line, and short."""
    try:
        text = value if isinstance(value, str) else str(value)
    except (ValueError, RecursionError):  # a number of more digits than Python writes, a list nested too deeply
        text = f"{type(value).__name__}, too long to print"
    text = one_line(text[: SHOWN + 1])
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}..."


def _outside(value: Any, bounds: Iterable[object]) -> str | None:
    names = next((bound.names for bound in bounds if isinstance(bound, OneOf)), None)
    if names is not None:
        return None if value in names else f"must be {' or '.join(names)}"
    return fault(value, bounds)


def _finite(value: float) -> bool:
    try:
        return math.isfinite(value)
    except OverflowError:  # a whole number beyond every float
        return False


@functools.cache
def _hints(kind: Any) -> dict[str, Any]:
    hints = typing.get_type_hints(kind, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(kind)}
