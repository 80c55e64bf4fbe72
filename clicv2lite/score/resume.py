"""Score what a table of an earlier run does not hold yet, and add it there as it comes (book chapter 12)."""

from collections.abc import Collection, Sequence
from itertools import islice
from typing import Any

from clicv2lite.models.model import Model
from clicv2lite.score.arguments import ImageRow
from clicv2lite.score.scoring import score_rows
from clicv2lite.score.table import Table, keys


def recalled(rows: Sequence[ImageRow], table: Table | None) -> tuple[list[ImageRow], list[int]]:
    """The rows, with score and flags where the table holds them, and the places of the others."""
    if table is None or not table.scores:
        return list(rows), list(range(len(rows)))
    known, flags = table.scores, table.flags
    names = keys(rows)
    scored = [row.with_score(known[name], flags[name]) if name in known else row for row, name in zip(rows, names, strict=True)]
    return scored, [i for i, name in enumerate(names) if name not in known]


def score_places(
    rows: list[ImageRow],
    places: Sequence[int],
    model: Model,
    table: Table | None = None,
    new: Collection[int] | None = None,
    **how: Any,
) -> None:
    """Score some of the rows in their places, batch by batch.

    Args:
        rows: from `recalled`. places: which of them; one that has a score keeps it if its image cannot be read again.
        table: gets a row as soon as it has its score. new: the places that it lacks; None: all of these.
        how: of :func:`clicv2lite.score.scoring.score_rows`.

    Raises:
        UserError: if the table cannot be written.
    """
    left = iter(places)
    for part in score_rows([rows[i] for i in places], model, **how):
        at = list(islice(left, len(part)))
        if table:
            table.add(row for row, i in zip(part, at, strict=True) if new is None or i in new)
        for row, i in zip(part, at, strict=True):
            rows[i] = row
