"""`clicv2lite score`: the complexity of your own images, in 0..1 (book chapter 12)."""

import argparse
import csv
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from tqdm import tqdm

from clicv2lite.atomic import atomic, check_output_file, make_folder, write_json
from clicv2lite.data.images import read_image
from clicv2lite.data.names import is_image_name
from clicv2lite.errors import UserError
from clicv2lite.probe.batches import batches
from clicv2lite.probe.head import Model, load_model
from clicv2lite.probe.heatmap import overlay, relative


@dataclass(frozen=True)
class Row:
    """One line of the result: a score or an error."""

    image: str  # as it was named, or folder/path for a file found in a folder
    map_name: Path  # where its map goes below --map
    score: float | None = None  # 0..1
    error: str | None = None


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `score`."""
    parser.add_argument("images", nargs="+", metavar="IMAGE_OR_FOLDER", help="image files; folders with all below them")
    parser.add_argument("--model", default="default", metavar="M", help="folder that `probe --out` wrote")
    written = parser.add_mutually_exclusive_group()
    written.add_argument("--csv", type=Path, metavar="F", help="write image,score,error to this file")
    written.add_argument("--json", type=Path, metavar="F", help="write the scores to this file")
    parser.add_argument("--map", type=Path, metavar="DIR", help="write a heat map over each image here, as PNG")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="images encoded at once (default 32)")


def run(args: argparse.Namespace) -> int:
    """Score every image; 1 if an image failed, else 0."""
    if args.batch_size < 1:
        raise UserError(f"--batch-size {args.batch_size}: give 1 or more")
    for option, path in (("--csv", args.csv), ("--json", args.json)):
        if path:
            check_output_file(path, option)
    rows = find_images(args.images)
    model = load_model(args.model)
    if args.map:
        make_folder(args.map, "--map")
    scored = list(score_rows(rows, model, args.batch_size, args.map))
    failed = sum(row.error is not None for row in scored)
    if args.csv:
        write_csv(args.csv, scored)
    elif args.json:
        images = [{"image": text(r.image), "score": r.score, "error": r.error} for r in scored]
        about = {"model": args.model, "head": model.head.kind}
        write_json(args.json, {**about, "n": len(scored), "failed": failed, "images": images})
    else:
        print("score   image")
        for row in scored:
            print("   -   " if row.score is None else f"{row.score:.4f} ", one_line(row.image))
    if failed:
        print(f"clicv2lite: {failed} of {len(scored)} images could not be scored", file=sys.stderr)
    return 1 if failed else 0


def find_images(arguments: list[str]) -> list[Row]:
    """The files to score, in the order given and sorted within a folder; hidden ones and links to folders are left out.

    A file that is named gets a row whatever it is; of a folder's files, those whose ending is an image's.

    Raises:
        UserError: if there are only folders and no image is in them.
    """
    rows: list[Row] = []
    for argument in arguments:
        path = Path(argument)
        if not path.is_dir():
            rows.append(Row(argument, Path(path.name)))
            continue
        found = list(_walk(path))
        rows += found or [Row(argument, Path(path.name), error=f"{one_line(argument)}: no image is in this folder")]
    if all(row.error for row in rows):
        raise UserError(
            f"nothing to score: no image is in {', '.join(map(one_line, arguments))}; name image files or their folder"
        )
    return rows


def score_rows(rows: list[Row], model: Model, batch_size: int, maps: Path | None = None) -> Iterator[Row]:
    """The rows with their scores, clipped to 0..1, or their errors, each error one line on stderr too.

    Args:
        maps: folder for heat maps, or None.
    """
    todo = [i for i, row in enumerate(rows) if row.error is None]
    done = {i: row for i, row in enumerate(rows) if row.error is not None}
    for row in done.values():
        _complain(row)
    names = _map_names([rows[i] for i in todo])
    for batch in batches([Path(rows[i].image) for i in todo], model.encoder.size, batch_size, "scoring"):
        for at, error in batch.errors.items():
            done[todo[at]] = replace(rows[todo[at]], error=error)
            _complain(done[todo[at]])
        if not batch.rows:
            continue
        for at, score in zip(batch.rows, model.scores(batch.images), strict=True):
            row = rows[todo[at]]
            if np.isfinite(score):
                done[todo[at]] = replace(row, score=float(np.clip(score, 0, 1)))
            else:
                done[todo[at]] = replace(row, error=f"{one_line(row.image)}: the model gives it no finite score")
                _complain(done[todo[at]])
        if maps:
            for at, complexity in zip(batch.rows, model.maps(batch.images), strict=True):
                if done[todo[at]].error is None:
                    levels = complexity if model.head.kind == "icnet" else relative(complexity)
                    _write_map(maps / names[at], Path(rows[todo[at]].image), levels)
    return iter([done[i] for i in range(len(rows))])


def write_csv(path: Path, rows: list[Row]) -> None:
    """Write the columns image,score,error; an empty score has an error."""
    with atomic(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["image", "score", "error"])
        for row in rows:
            writer.writerow([text(row.image), "" if row.score is None else f"{row.score:.6f}", row.error or ""])


def text(name: str) -> str:
    """A file name as text, even if it is not valid UTF-8."""
    return name.encode("utf-8", "backslashreplace").decode("utf-8")


def one_line(name: str) -> str:
    """A file name as text on one line, even if it holds a line break."""
    return "".join(c if c.isprintable() else repr(c)[1:-1] for c in text(name))


def _walk(folder: Path) -> Iterator[Row]:
    errors: list[OSError] = []
    for here, folders, files in os.walk(folder, onerror=errors.append):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            path = Path(here, name)
            if is_image_name(name):
                yield Row(str(path), path.relative_to(folder))
    for error in errors:
        name = str(error.filename)
        yield Row(
            name, Path(name), error=f"{one_line(name)}: cannot be listed ({error.strerror}); check its permissions"
        )


def _map_names(rows: list[Row]) -> list[Path]:
    """A PNG for each row below the map folder; x.jpg becomes x.jpg.png, and a second one x.jpg-2.png."""
    taken: dict[Path, int] = {}
    names = []
    for row in rows:
        taken[row.map_name] = count = taken.get(row.map_name, 0) + 1
        ending = ".png" if count == 1 else f"-{count}.png"
        names.append(row.map_name.with_name(row.map_name.name + ending))
    return names


def _write_map(path: Path, image: Path, complexity: np.ndarray) -> None:
    make_folder(path.parent, "--map")
    with atomic(path) as temporary:
        overlay(read_image(image), complexity).save(temporary, format="PNG")


def _complain(row: Row) -> None:
    tqdm.write(f"clicv2lite: {row.error}", file=sys.stderr)
