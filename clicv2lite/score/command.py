"""`clicv2lite score`: the complexity of your own images, in 0..1 (book chapter 12)."""

import argparse
import sys
from pathlib import Path

from clicv2lite.data.names import is_image_name
from clicv2lite.device import cores as default_jobs
from clicv2lite.errors import UserError
from clicv2lite.files import check_output_file, make_folder, write_json
from clicv2lite.models.model import load_model
from clicv2lite.score.arguments import Row, expand, find_images, input_folders, one_line, text
from clicv2lite.score.scoring import score_rows
from clicv2lite.score.table import Table, check_same_model, write_csv

__all__ = ["Row", "add_arguments", "expand", "find_images", "one_line", "run", "score_rows", "text", "write_csv"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `score`."""
    parser.add_argument(
        "images",
        nargs="+",
        metavar="IMAGE_OR_FOLDER",
        help="image files; folders with all below them; tars; quoted patterns such as 'a/*.jpg' and 's-{000..007}.tar'; "
        "- for names from standard input, one a line",
    )
    parser.add_argument("--null", "-0", action="store_true", help="names from standard input end with NUL, as of find -print0")
    parser.add_argument("--model", default="default", metavar="M", help="folder that `probe --out` wrote")
    written = parser.add_mutually_exclusive_group()
    written.add_argument(
        "--csv", type=Path, metavar="F", help="write image,score,error to this file; what it holds already is not scored again"
    )
    written.add_argument("--json", type=Path, metavar="F", help="write the scores to this file")
    parser.add_argument("--map", type=Path, metavar="DIR", help="write a heat map over each image here, as PNG")
    parser.add_argument("--top", type=int, metavar="N", help="write a page with the N most and the N least complex images")
    parser.add_argument("--html", type=Path, metavar="F", help="where --top writes (default complexity.html)")
    parser.add_argument("--batch-size", type=int, default=32, metavar="N", help="images encoded at once (default 32)")
    parser.add_argument("--jobs", type=int, metavar="N", help="threads that decode and encode (default: one a core)")


def run(args: argparse.Namespace) -> int:
    """Score every image; 1 if an image failed, else 0."""
    for option, value in (("--batch-size", args.batch_size), ("--jobs", args.jobs), ("--top", args.top)):
        if value is not None and value < 1:
            raise UserError(f"{option} {value}: give 1 or more")
    if args.html and not args.top:
        raise UserError(f"--html {args.html}: there is no page without --top N; say how many images it shall show")
    page = (args.html or Path("complexity.html")) if args.top else None
    arguments = expand(args.images, args.null)
    rows = find_images(arguments)
    outputs = (("--csv", args.csv), ("--json", args.json), ("--map", args.map), ("--html", page))
    _keep_inputs_clean(outputs, input_folders(arguments))
    for option, path in outputs:
        if path and option != "--map":
            if is_image_name(path.name):
                raise UserError(f"{option} {path}: this is the name of an image; name the file to write, and then the images")
            check_output_file(path, option)
    model = load_model(args.model)
    if args.map:
        make_folder(args.map, "--map")
    jobs = args.jobs or default_jobs()

    table = Table(args.csv) if args.csv else None
    known = table.scores if table else {}
    check_same_model(args.csv, known, rows, model)
    todo = [i for i, row in enumerate(rows) if text(row.image) not in known]
    if args.map:  # a row without its map is not done
        todo = list(range(len(rows)))
    scored = {i: row.with_score(known[text(row.image)]) for i, row in enumerate(rows) if text(row.image) in known}
    if known and len(todo) < len(rows):
        print(f"clicv2lite: {len(rows) - len(todo)} of {len(rows)} images are in {args.csv} already", file=sys.stderr)
    for part in score_rows([rows[i] for i in todo], model, args.batch_size, args.map, jobs):
        if table:
            table.add(part)
        scored.update(zip(todo[: len(part)], part, strict=True))
        del todo[: len(part)]
    done = [scored[i] for i in range(len(rows))]

    failed = sum(row.error is not None for row in done)
    if table:
        table.close()
        write_csv(args.csv, done, others={name: known[name] for name in known if name not in {text(r.image) for r in done}})
    elif args.json:
        images = [{"image": text(r.image), "score": r.score, "error": r.error} for r in done]
        about = {"model": args.model, "head": model.head.kind}
        write_json(args.json, {**about, "n": len(done), "failed": failed, "images": images})
    if page:
        from clicv2lite.score.gallery import write_gallery

        write_gallery(page, done, args.top)
    if not (table or args.json or page):
        print("score   image")
        for row in done:
            print("   -   " if row.score is None else f"{row.score:.4f} ", one_line(row.image))
    if failed:
        print(f"clicv2lite: {failed} of {len(done)} images could not be scored", file=sys.stderr)
    return 1 if failed else 0


def _keep_inputs_clean(outputs: tuple[tuple[str, Path | None], ...], folders: list[Path]) -> None:
    for option, path in outputs:
        for folder in folders:
            if path and path.resolve().is_relative_to(folder.resolve()):
                where = one_line(str(folder))
                raise UserError(f"{option} {path}: this is in the folder {where} that is to be scored; name a place outside it")
