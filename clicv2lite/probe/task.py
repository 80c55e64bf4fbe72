"""Rating tables to a probing task: which images fit the head and which test it (book chapter 8)."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clicv2lite.arrays import Floats, Mask, Names, Rows
from clicv2lite.data.rated.table import read_ratings
from clicv2lite.errors import UserError
from clicv2lite.lines import say


@dataclass(frozen=True)
class Task:
    """Rated images and which of them fit and which test the head; `test` is None for cross-validation."""

    paths: list[Path]
    scores: Floats  # (n,) in 0..1
    categories: list[str] | None
    train: Mask  # (n,)
    test: Mask | None  # (n,)
    groups: Names | None = None  # (n,) what `fit_ridge` takes as groups of the rows that fit


def add_within_categories(parser: argparse.ArgumentParser) -> None:
    """Add the option whose value :func:`load_task` and :func:`groups` take."""
    parser.add_argument(
        "--within-categories", action="store_true", help="fit ridge to differences within categories (normalised scores)"
    )


def add_score_range(parser: argparse.ArgumentParser) -> None:
    """Add the option whose value :func:`clicv2lite.data.rated.table.read_ratings` takes."""
    parser.add_argument("--score-range", type=float, nargs=2, metavar=("LO", "HI"), help="range of the table's scores")


def groups(wanted: bool, categories: Sequence[str] | None, ratings: object) -> Names | None:
    """What `fit_ridge` takes as groups: the categories of a table, if differences within them are wanted.

    Raises:
        UserError: if they are wanted of a table without categories.
    """
    if wanted and categories is None:
        raise UserError(f"--within-categories: {ratings} has no column category; add one, or leave the option out")
    return np.array(categories) if wanted else None


def load_task(
    ratings: str, test: str | None, k: int | None, score_range: Sequence[float] | None = None, within: bool = False
) -> Task:
    """Read the tables and decide what tests what.

    With a test table: both tables whole. Else, if no number of folds is asked for, the split column if it has both
    train and test rows, in letters of any case (rows of other splits are left out). Else cross-validation of all rows.
    A split that is not used, or not for all rows, is told on stderr.

    Args:
        within: ridge is to be fitted to differences within the categories of the table `ratings`.

    Raises:
        UserError: from the tables; if an image is in both; if `k` comes with a test table; or if there are no categories to
            fit differences in.
    """
    table = read_ratings(ratings, score_range)
    n, parted = len(table.paths), groups(within, table.categories, ratings)
    if test is not None:
        if k is not None:
            raise UserError("--folds and --test: give one of them; with --test nothing is cross-validated")
        other = read_ratings(test, score_range)
        shared = {p.resolve() for p in table.paths} & {p.resolve() for p in other.paths}
        if shared:
            raise UserError(f"{test}: {len(shared)} images are in {ratings} too ({min(shared)}); take them out of one")
        return Task(
            paths=[*table.paths, *other.paths],
            scores=np.concatenate([table.scores, other.scores]),
            categories=[*(table.categories or [""] * n), *other.categories] if other.categories else None,
            train=np.arange(n + len(other.paths)) < n,
            test=np.arange(n + len(other.paths)) >= n,
            groups=None if parted is None else np.concatenate([parted, np.full(len(other.paths), "")]),  # those fit nothing
        )
    split = np.array([name.casefold() for name in table.splits or ()])
    if k is None and {"train", "test"} <= {*split}:
        chosen = np.flatnonzero((split == "train") | (split == "test"))
        if len(chosen) < n:
            say(f"{ratings}: {n - len(chosen)} of {n} rows are left out, since their split is neither train nor test")
        return _rows(Task(table.paths, table.scores, table.categories, split == "train", split == "test", parted), chosen)
    if k is None and len(split):
        say(f"{ratings}: the column split has not both train and test, so all rows are cross-validated")
    return Task(table.paths, table.scores, table.categories, np.ones(n, dtype=bool), None, parted)


def keep_rows(task: Task, read: Mask) -> Task:
    """The task on the images that could be read: (n,) mask.

    Raises:
        UserError: if fewer than 2 are left to fit on or to test on.
    """
    kept = _rows(task, np.flatnonzero(read))
    if kept.train.sum() < 2 or (kept.test is not None and kept.test.sum() < 2):
        raise UserError("--ratings: fewer than 2 readable rated images to fit on, or to test on; rate more images")
    return kept


def _rows(task: Task, rows: Rows) -> Task:
    return Task(
        [task.paths[i] for i in rows],
        task.scores[rows],
        [task.categories[i] for i in rows] if task.categories else None,
        task.train[rows],
        None if task.test is None else task.test[rows],
        None if task.groups is None else task.groups[rows],
    )
