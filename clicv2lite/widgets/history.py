"""The history of a pretraining to go through: what had been learned after so many passes? (book chapter 7)."""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from clicv2lite.errors import UserError
from clicv2lite.extras import extra
from clicv2lite.widgets.explorer import Widget, front_end, style_sheet

with extra("notebooks"):
    import traitlets as t

MOST = 4  # runs, as many as there are colours
STEPS = 60  # of the slider, evenly on a log scale as far as the log has rows


class Panel(NamedTuple):
    """One small plot."""

    title: str
    unit: str
    columns: dict[str, str]  # of the log -> what it is called, if there are several
    axis: str = "zero"  # of the values: from zero, "log", or "near" (from the smallest value)


PANELS = (
    Panel("InfoNCE", "nats", {"contrast": ""}),
    Panel("masked entropy", "bits²", {"entropy": ""}),
    Panel("effective rank", "", {"effective_rank": ""}),
    Panel("cosine", "", {"positive_similarity": "positives", "negative_similarity": "other pairs"}),
    Panel("gradient norm", "", {"gradient_norm": ""}, "log"),
    Panel("learning rate", "", {"lr": ""}),
    Panel("mean PCC", "", {"mean_pcc": ""}, "near"),
)
"""What is drawn, from the columns of metrics.jsonl; ``mean_pcc`` is in no log, and may stand in rows where it was measured."""

Row = Mapping[str, float]


def row_at(rows: Sequence[Row], passes: float) -> Row | None:
    """The last row that was logged up to there; None before the first."""
    return next((row for row in reversed(rows) if row["passes"] <= passes), None)


def share_of_fall(rows: Sequence[Row], column: str, passes: float, start: float | None = None) -> float:
    """How much of its way down a loss has gone: 0 at the start, 1 at the last row.

    Args:
        rows: of one run, all with the column.
        column: of the loss.
        passes: where to look.
        start: its value before training; the first row's if None.

    Returns:
        The share; nan if the last row is where it started, as in a log of one row.
    """
    first = rows[0][column] if start is None else start
    now = row_at(rows, passes) or {column: first}
    fall = first - rows[-1][column]
    return (first - now[column]) / fall if fall else math.nan


class HistoryExplorer(Widget):
    """Move through the logs of up to four runs, the passes on a log scale, and read what each had reached.

    Args:
        runs: name -> rows of its log (:func:`clicv2lite.pretrain.log.read_log`), see :data:`PANELS` for the columns that are
            drawn. A panel that no run has is left out.
        references: column -> (what, value) of a dotted line, such as the loss of a model that knows nothing.
        passes: where the cursor stands first. Default: the first row.
        shown: names of the runs that are drawn first. Default: all.

    Raises:
        UserError: if there is no run, or there are more than four, or a run has no rows or a row no passes.
        traitlets.TraitError: if there is no run of a name that is shown.
    """

    _esm = front_end("history")
    _css = style_sheet("history")

    passes = t.Float(0, min=0, help="where the cursor is").tag(sync=True)
    shown = t.List(t.Unicode(), help="names of the runs that are drawn").tag(sync=True)

    def __init__(
        self,
        runs: Mapping[str, Iterable[Row]],
        *,
        references: Mapping[str, tuple[str, float]] | None = None,
        passes: float | None = None,
        shown: Sequence[str] | None = None,
    ) -> None:
        self._runs = {str(name): list(rows) for name, rows in runs.items()}
        if not 1 <= len(self._runs) <= MOST:
            raise UserError(f"runs: 1 to {MOST} can be compared, got {len(self._runs)}; choose some")
        for name, rows in self._runs.items():
            if not rows or any(not row.get("passes", 0) > 0 for row in rows):
                raise UserError(f"runs, {name}: a log has rows, each with its passes; read it with read_log")
        panels = [panel for panel in PANELS if any(column in row for column in panel.columns for row in self._rows())]
        columns = [column for panel in panels for column in panel.columns]
        steps = _steps([row["passes"] for row in self._rows()])
        self._constants = {
            "panels": [panel._asdict() | {"columns": [*panel.columns.items()]} for panel in panels],
            "references": [[column, *about] for column, about in (references or {}).items()],
            "steps": steps,
            "runs": [[name, _table(rows, columns)] for name, rows in self._runs.items()],
        }
        names = list(self._runs) if shown is None else list(shown)
        super().__init__(passes=steps[0] if passes is None else passes, shown=names)

    def _rows(self) -> list[Row]:
        return [row for rows in self._runs.values() for row in rows]

    @t.validate("shown")
    def _are_there(self, proposal: dict[str, Any]) -> list[str]:
        if strange := [name for name in proposal["value"] if name not in self._runs]:
            raise t.TraitError(f"the 'shown' trait names runs: there is no {', '.join(strange)} in {', '.join(self._runs)}")
        return list(proposal["value"])

    def __repr__(self) -> str:
        return f"HistoryExplorer(passes={self.passes:g}, shown={self.shown!r})"

    def result(self) -> dict[str, Row | None]:
        """The row of each run that is drawn, at the cursor; None where it had not begun."""
        return {name: row_at(rows, self.passes) for name, rows in self._runs.items() if name in self.shown}


def _steps(passes: Sequence[float]) -> list[float]:
    """Logged numbers of passes, as even on a log scale as they can be."""
    all_of_them = np.unique(np.asarray(passes, np.float64))
    even = np.geomspace(all_of_them[0], all_of_them[-1], STEPS)
    nearest = np.abs(np.log(all_of_them)[:, None] - np.log(even)).argmin(0)
    return [float(value) for value in all_of_them[np.unique(nearest)]]


def _table(rows: Sequence[Row], columns: Sequence[str]) -> dict[str, list[float | None]]:
    """Column -> values to four digits, None where a row has none: a page should not carry sixteen."""
    table: dict[str, list[float | None]] = {"passes": [row["passes"] for row in rows]}
    return table | {name: [float(f"{row[name]:.4g}") if name in row else None for row in rows] for name in columns}
