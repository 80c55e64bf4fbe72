"""Types that state the allowed range of a setting where it is declared: ``mask_ratio: Share = 0.6``."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Annotated

from annotated_types import Ge, Gt, Le, Lt

Count = Annotated[int, Gt(0)]
WholeNumber = Annotated[int, Ge(0)]
Positive = Annotated[float, Gt(0)]
NonNegative = Annotated[float, Ge(0)]
Share = Annotated[float, Ge(0), Le(1)]
ShareBelowOne = Annotated[float, Ge(0), Lt(1)]


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
                words.append(f"at most {high}")
                good &= value <= high  # type: ignore[operator]
    return None if good else f"must be {' and '.join(words)}"
