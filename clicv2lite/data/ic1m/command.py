"""`clicv2lite data ic1m`: a set like the paper's IC1M, which its authors did not publish (book chapter 10)."""

import argparse
import shlex
from collections import Counter
from pathlib import Path

from clicv2lite.data.ic1m.guard import Limits
from clicv2lite.data.ic1m.metadata import LICENCES
from clicv2lite.data.packing.form import Form, add_form
from clicv2lite.errors import UserError, check_counts, check_positive
from clicv2lite.outputs import add_output

COUNT = 1_500_000  # photos, as in IC1M
MOST_ATTEMPTS = 100  # the last ones an hour apart
DISTRIBUTORS = ("multiprocessing", "pyspark", "ray")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's options."""
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument(
        "--metadata", nargs="+", action="extend", metavar="SRC", help="parquet files of photo addresses, or folders of them"
    )
    source.add_argument("--manifest", type=Path, metavar="CSV", help="build the set of this manifest again")
    add_output(parser, "--out", folder=True, locked=False, required=True, help="where the set is built: an empty or new folder")
    parser.add_argument("--count", type=int, metavar="N", help=f"photos to draw (default {COUNT})")
    parser.add_argument("--seed", type=int, metavar="N", help="of the draw (default 0)")
    licences = ", ".join(f"{key} {name}" for key, name in LICENCES.items())
    parser.add_argument(
        "--licence", nargs="+", action="extend", metavar="N", help=f"only these, by Flickr's numbers: {licences}"
    )
    add_form(parser)
    engine = parser.add_argument_group("download, by img2dataset")
    engine.add_argument(
        "--img2dataset", metavar="P", help="a python or a virtual environment with img2dataset (default: make one)"
    )
    engine.add_argument("--distributor", choices=DISTRIBUTORS, default=DISTRIBUTORS[0], help="(default %(default)s)")
    for option, most, unit, text in (
        ("--timeout", Limits.timeout, "S", "seconds to wait for an answer, or for its next bytes"),
        ("--max-seconds", Limits.seconds, "S", "seconds for a photo from its first byte to its last"),
        ("--max-megabytes", Limits.size / 1e6, "MB", "size of a photo's file"),
    ):
        engine.add_argument(option, type=float, default=most, metavar=unit, help=f"{text} (default %(default)g)")
    engine.add_argument(
        "--allow-private",
        action="store_true",
        help="fetch from this machine, its network and any port too: for tests and mirrors",
    )
    for option, default, unit, text in (
        ("--processes", 4, "N", "processes that download"),
        ("--threads", 16, "N", "threads of each process"),
        ("--attempts", 5, "N", "tries of an address that refuses (403, 429, 5xx) or is not reached"),
        ("--round", 20_000, "N", "addresses in a round, after which refusals are counted"),
    ):
        engine.add_argument(option, type=int, default=default, metavar=unit, help=f"{text} (default %(default)s)")
    parser.epilog = (
        "An interrupted run goes on when the command is run again. If many addresses of a round were refused, the next round"
        " waits, up to an hour, and has fewer threads. What a site marks as noai or noindex is left out. Only http and https on"
        " ports 80 and 443 of public addresses are fetched, redirects included, directly: a proxy is not asked."
    )


def run(args: argparse.Namespace) -> int:
    """Run the command; the exit status is 0."""
    from clicv2lite.data.ic1m.build import Draw, build, rebuild  # imports torch, which a fetch does not need
    from clicv2lite.data.ic1m.engine import find_engine
    from clicv2lite.data.ic1m.manifest import read_manifest
    from clicv2lite.data.ic1m.metadata import find_files
    from clicv2lite.data.ic1m.rounds import Pace
    from clicv2lite.device import cores

    for option in ("count", "seed", "licence"):
        if args.manifest and getattr(args, option) is not None:
            raise UserError(f"--{option}: an option of --metadata; leave it out, --manifest says which photos")
    form = Form(args.side, args.quality, args.shard)
    pace = Pace(args.processes, args.threads, args.attempts, args.round)
    check_counts(count=args.count, processes=args.processes, threads=args.threads)
    check_counts(attempts=args.attempts, round=args.round, jobs=args.jobs)
    if args.attempts > MOST_ATTEMPTS:
        raise UserError(f"--attempts {args.attempts}: give 1 to {MOST_ATTEMPTS}")
    check_positive(timeout=args.timeout, max_seconds=args.max_seconds, max_megabytes=args.max_megabytes)
    limits = Limits(args.timeout, args.max_seconds, round(args.max_megabytes * 1e6), args.allow_private)
    if args.manifest:  # a mistake in what is read is said before an environment is made
        read_manifest(args.manifest)
    else:
        find_files(args.metadata)
    engine = find_engine(args.img2dataset, args.distributor, limits)
    jobs = args.jobs or cores()
    if args.manifest:
        built = rebuild(args.manifest, args.out, form, pace, engine, jobs)
    else:
        which = Draw(args.count or COUNT, args.seed or 0, tuple(dict.fromkeys(args.licence or ())))
        built = build(args.metadata, args.out, which, form, pace, engine, jobs)
    counts = Counter(photo.status for photo in built.photos)
    print(built.manifest)
    good, others = f"{counts.pop('ok'):,} of {len(built.photos):,} photos", (f"{n:,} {s}" for s, n in counts.most_common())
    print("; ".join(filter(None, (good, ", ".join(others)))))
    print(f"sha256 of the manifest: {built.sha256}")
    print(f"--images {shlex.quote(built.pattern)}")
    return 0
