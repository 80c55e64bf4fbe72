"""What the scores of a run mean: which norms they are read by, and whether the images can be compared (book chapter 12)."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from clicv2lite.errors import UserError, one_line
from clicv2lite.lines import say
from clicv2lite.models.model import Model
from clicv2lite.models.norms import Norms, fingerprint, read_norms
from clicv2lite.score.arguments import ImageRow

FEW = 0.1  # share of the images above which the rarer kind makes a set mixed: single images may be flagged by mistake
GRAPHICS = {"drawn", "text"}


def add_norms(parser: argparse.ArgumentParser) -> None:
    """Add the options whose values :func:`choose_norms` takes."""
    norms_help = "read percentile and uncertainty by this file of `clicv2lite norms` (default: the model's own)"
    parser.add_argument("--norms", type=Path, metavar="F", help=norms_help)
    parser.add_argument("--kind", metavar="K", help="percentiles among the reference's images of this kind: photo, art, ...")


def choose_norms(model: Model, args: argparse.Namespace) -> Norms | None:
    """The norms that were asked for, or the model's own; None if it has none.

    Raises:
        UserError: if the file holds none, or those of another model; if there is no such kind, or no norms to take it from.
    """
    norms = read_norms(args.norms) if args.norms else model.norms
    if args.norms and norms and norms.head != fingerprint(model.head):
        raise UserError(f"--norms {args.norms}: made with another model than {args.model}; make them with `clicv2lite norms`")
    if norms is None and args.kind:
        raise UserError(f"--kind {args.kind}: model {args.model} has no norms; make some with `clicv2lite norms`")
    return norms.of_kind(args.kind) if norms and args.kind else norms


def say_meaning(rows: Sequence[ImageRow], norms: Norms | None, model: str, written: bool) -> None:
    """One line on stderr if what is written has no percentiles, and one if the images compare badly."""
    if written and norms is None:
        say(f"{one_line(model)}: this model has no norms, so no percentile and no uncertainty; see clicv2lite norms --help")
    if mixed := mixture(rows, norms):
        say(mixed)


def meaning(row: ImageRow, norms: Norms | None) -> dict[str, Any]:
    """Score, percentile, uncertainty and flags of a row as JSON; None for what is not known."""
    if row.score is None:
        return {"score": None, "percentile": None, "uncertainty": None, "flags": None}
    return {
        "score": row.score,
        "percentile": norms.percentile(row.score) if norms else None,
        "uncertainty": norms.half_width(row.score) if norms else None,
        "flags": None if row.flags is None else list(row.flags),
    }


def mixture(rows: Sequence[ImageRow], norms: Norms | None) -> str:
    """One line if the images are of different kinds, whose scores compare badly; "" if not.

    Kinds are told apart by the flags `drawn` and `text`.
    """
    seen = [row.flags for row in rows if row.score is not None and row.flags is not None]
    graphics = sum(not GRAPHICS.isdisjoint(flags) for flags in seen)
    if min(graphics, len(seen) - graphics) < max(2, FEW * len(seen)):
        return ""
    known = ""
    if norms and norms.within is not None and norms.pooled is not None:
        known = f" (PCC with people {norms.within:.2f} within a category, {norms.pooled:.2f} over all categories)"
    return (
        f"{graphics} of {len(seen)} images look drawn or written, the others do not: "
        f"scores of different kinds compare badly{known}; compare within a kind"
    )
