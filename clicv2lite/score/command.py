"""`clicv2lite score`: the complexity of your own images, in 0..1 (book chapter 12)."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from clicv2lite.data.names import as_text, is_image_name
from clicv2lite.device import add_device, cores
from clicv2lite.errors import UserError, check_counts, one_line
from clicv2lite.files import put_json, reason
from clicv2lite.models.model import MODELS, Model, load_model
from clicv2lite.models.norms import Norms
from clicv2lite.outputs import Output, add_output, check_inputs, claimed
from clicv2lite.score.arguments import ImageRow, expand, find_images, input_folders
from clicv2lite.score.columns import COLUMNS
from clicv2lite.score.excel import mark_for_excel
from clicv2lite.score.maps import FORMATS, MapFormat
from clicv2lite.score.meaning import add_norms, choose_norms, meaning, say_meaning
from clicv2lite.score.resume import recalled, score_places
from clicv2lite.score.scoring import map_names
from clicv2lite.score.table import Table, check_same_model

ENGINES = ("threads", "ray")
NOT_WITH_RAY = ("--csv", "--json", "--map", "--map-format", "--excel", "--top", "--html")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `score`."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE_OR_FOLDER",
        help="image files; folders with all below them; tars; quoted patterns such as 'a/*.jpg' and 's-{000..007}.tar'; "
        "- for names from standard input, one per line",
    )
    parser.add_argument("--null", "-0", action="store_true", help="names from standard input end with NUL, as of find -print0")
    parser.add_argument("--model", default="default", metavar="M", help=MODELS)
    written = parser.add_mutually_exclusive_group()
    csv_help = f"write {','.join(COLUMNS)} to this file; the images in it are not scored again"
    add_output(written, "--csv", help=csv_help)
    add_output(written, "--json", help="write the scores to this file")
    add_output(parser, "--map", folder=True, locked=False, help="write a heat map over each image here")
    formats = "png, the image under its colours with a bar of them below (default); npy or tiff, the numbers of each place"
    parser.add_argument("--map-format", choices=FORMATS, help=formats)
    parser.add_argument("--excel", action="store_true", help="with --csv: let Excel read its letters (UTF-8 with a mark)")
    parser.add_argument("--top", type=int, metavar="N", help="write a page with the N most and the N least complex images")
    add_output(parser, "--html", help="where --top writes (default complexity.html)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="images encoded at once (default 32)")
    jobs_help = "threads that decode and encode, or workers of Ray (default: one per core; of Ray, one per GPU if it has any)"
    parser.add_argument("--jobs", type=int, metavar="N", help=jobs_help)
    engine_help = (
        "ray: on every core or GPU of a Ray cluster, or of this machine, into Parquet parts in --out (default threads)"
    )
    parser.add_argument("--engine", choices=ENGINES, default="threads", help=engine_help)
    add_output(parser, "--out", folder=True, help="with --engine ray: one part for each tar; those that are there are kept")
    add_norms(parser)
    add_device(parser)


def run(args: argparse.Namespace) -> int:
    """Score every image; 1 if an image failed, else 0."""
    _check_options(args)
    page = (args.html or Path("complexity.html")) if args.top else None
    arguments = expand(args.images, args.null)
    if args.engine == "ray":
        from clicv2lite.score.on_ray import run_on_ray  # not above: most calls need no such thing

        _check_outputs({"--out": args.out}, [], input_folders(arguments), "png")
        return run_on_ray(args, arguments)
    rows = find_images(arguments)
    outputs = {"--csv": args.csv, "--json": args.json, "--map": args.map, "--html": page}
    _check_outputs(outputs, rows, input_folders(arguments), args.map_format or "png")
    with claimed([Output("--html", page)] if page and not args.html else []):  # the others are the command line's
        model = load_model(args.model, args.device)
        norms = choose_norms(model, args)
        table = Table(args.csv, norms) if args.csv else None
        if table:
            check_same_model(table, rows, model)
        scored = _score(rows, model, table, args)
        say_meaning(scored, norms, args.model, bool(table or args.json or page))
        _write(scored, model, norms, table, page, args)
    return _close(scored, [path for path in (args.csv, args.json, page) if path])


def _check_options(args: argparse.Namespace) -> None:
    check_counts(batch_size=args.batch_size, jobs=args.jobs, top=args.top)
    if args.engine == "ray":
        _check_ray(args)
    elif args.out:
        raise UserError(f"--out {args.out}: there are no parts without --engine ray; add that, or name a table with --csv F")
    if args.html and not args.top:
        raise UserError(f"--html {args.html}: there is no page without --top N; say how many images to show")
    if args.map_format and not args.map:
        raise UserError(f"--map-format {args.map_format}: there are no maps without --map DIR; name their folder")
    for option in ("norms", "kind"):
        value = getattr(args, option)
        if value and not (args.csv or args.json or args.top or args.out):
            raise UserError(f"--{option} {value}: there are no percentiles without --csv F, --json F or --top N; add one")
    if args.null and "-" not in args.images:
        raise UserError("--null: no names are read without - among the images; add that, or leave it out")
    if args.excel and not args.csv:
        raise UserError("--excel: there is no table without --csv F; name its file")


def _check_ray(args: argparse.Namespace) -> None:
    for option in NOT_WITH_RAY:
        if getattr(args, option.strip("-").replace("-", "_")):
            raise UserError(f"{option}: --engine ray writes Parquet parts into --out and nothing else; leave it out")
    if not args.out:
        raise UserError("--engine ray: there is no folder for its parts; name one with --out DIR")
    if args.out.parts and args.out.parts[0].endswith(":"):  # s3: of s3://bucket
        raise UserError(f"--out {args.out}: parts are written into a folder that all machines share; name one, no address")
    if args.device not in ("auto", "cpu", "cuda"):
        raise UserError(f"--device {args.device}: with --engine ray, write auto, cpu or cuda; Ray gives each worker its GPU")


def _check_outputs(
    outputs: Mapping[str, Path | None], rows: Sequence[ImageRow], folders: Sequence[Path], map_format: MapFormat
) -> None:
    """Refuse an output inside a folder that is scored, with the name of an image, or in the place of one."""
    for option, path in outputs.items():
        for folder in folders:
            if path and path.resolve().is_relative_to(folder.resolve()):
                where = one_line(str(folder))
                raise UserError(f"{option} {path}: this is in the folder {where} that is to be scored; name a path outside it")
    for option, path in outputs.items():
        if path and option != "--map" and is_image_name(path.name):
            raise UserError(f"{option} {path}: this is the name of an image; name the file to write, and then the images")
    files = [Output(option, path) for option, path in outputs.items() if path and option != "--map"]
    maps = outputs.get("--map")
    named = [maps / name for name in map_names(rows, map_format) if name] if maps else []
    files += [Output("--map", path) for path in named if os.path.isfile(path)]
    check_inputs(files, {row.image for row in rows if row.archive is None})


def _score(rows: Sequence[ImageRow], model: Model, table: Table | None, args: argparse.Namespace) -> list[ImageRow]:
    """Every row with its score or error; a score that the table holds already counts, unless the map is wanted too."""
    scored, missing = recalled(rows, table)
    places = list(range(len(rows))) if args.map else missing
    if len(places) < len(rows):
        print(f"clicv2lite: {len(rows) - len(places)} of {len(rows)} images are in {args.csv} already", file=sys.stderr)
    how = {
        "batch_size": args.batch_size,
        "maps": args.map,
        "jobs": args.jobs or cores(),
        "map_format": args.map_format or "png",
    }
    score_places(scored, places, model, table, set(missing), **how)
    return scored


def _write(
    rows: Sequence[ImageRow],
    model: Model,
    norms: Norms | None,
    table: Table | None,
    page: Path | None,
    args: argparse.Namespace,
) -> None:
    """The table, the JSON file or the page that was asked for; without any of them, a table on the screen."""
    if table:
        table.finish(rows)
        if args.excel:
            mark_for_excel(table.path)
    elif args.json:
        images = [{"image": as_text(row.image), **meaning(row, norms), "error": row.error} for row in rows]
        reference = norms.reference if norms else None
        about = {"model": args.model, "head": model.head.kind, "reference": reference, "n": len(rows), "failed": _failed(rows)}
        put_json(args.json, {**about, "images": images})
    if page:
        from clicv2lite.score.gallery import write_gallery

        try:
            write_gallery(page, rows, args.top, norms)
        except OSError as error:
            if not (table or args.json):
                _print(rows)
            raise UserError(f"--html {page}: cannot be written ({reason(error)}); correct that") from None
    if not (table or args.json or page):
        _print(rows)


def _print(rows: Sequence[ImageRow]) -> None:
    print("score   image")
    for row in rows:
        print("   -   " if row.score is None else f"{row.score:.4f} ", one_line(row.image))


def _close(rows: Sequence[ImageRow], written: Sequence[Path]) -> int:
    """Say how many images have no score, or that all have one, and where; the exit status."""
    where = ", ".join(one_line(str(path)) for path in written)
    if failed := _failed(rows):
        others = f"; the others are in {where}" if where and failed < len(rows) else ""
        print(f"clicv2lite: {failed} of {len(rows)} images could not be scored{others}", file=sys.stderr)
    elif written:
        print(f"clicv2lite: {len(rows)} image{'s' if len(rows) > 1 else ''} scored: {where}", file=sys.stderr)
    if unmapped := sum(row.map_error is not None for row in rows):
        print(f"clicv2lite: {unmapped} of {len(rows)} maps could not be written", file=sys.stderr)
    return 1 if failed or unmapped else 0


def _failed(rows: Sequence[ImageRow]) -> int:
    return sum(row.error is not None for row in rows)
