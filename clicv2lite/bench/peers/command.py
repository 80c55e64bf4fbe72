"""The part of `clicv2lite bench` behind `--peers`: make the environment, measure in it, print and write the table."""

import argparse
import time
from contextlib import nullcontext

import torch

from clicv2lite.bench.peers import table
from clicv2lite.bench.peers.environment import TOPICS, default_folder, prepare
from clicv2lite.bench.peers.run import measure, versions
from clicv2lite.errors import UserError
from clicv2lite.extras import need
from clicv2lite.files import make_folder, put_json, write_bytes
from clicv2lite.outputs import add_output, locked
from clicv2lite.provenance import stamped


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--peers` and what belongs to it."""
    about = "measure this package beside others instead, in an environment that this makes; some of: " + ", ".join(TOPICS)
    parser.add_argument("--peers", nargs="*", action="extend", choices=TOPICS, metavar="TOPIC", help=f"{about} (default all)")
    add_output(parser, "--markdown", help="with --peers: write the table to this file")
    add_output(
        parser, "--peers-dir", folder=True, help="with --peers: folder of that environment (default: in the user's cache)"
    )


def check(args: argparse.Namespace) -> None:
    """Refuse what belongs to `--peers` without it.

    Raises:
        UserError: as said.
    """
    if args.peers is not None:
        return
    for option, value in (("--markdown", args.markdown), ("--peers-dir", args.peers_dir)):
        if value is not None:
            raise UserError(f"{option} {value}: it belongs to --peers; add --peers, or leave it out")


def run(args: argparse.Namespace) -> int:
    """Make the environment, measure on the processor, print the table, write JSON and Markdown; exit status 0.

    Raises:
        UserError: if there can be no environment.
    """
    need("train", "simplejpeg", "timm", "torchvision")
    topics, began = args.peers or list(TOPICS), time.perf_counter()
    folder = (args.peers_dir or make_folder(default_folder(), "--peers")).absolute()
    with nullcontext() if args.peers_dir else locked(folder, "--peers", folder=True):  # a named one is locked already
        rows = measure(folder, topics, prepare(folder, topics))
        installed = versions(folder)
    print(table.text(rows))
    if args.json:
        put_json(args.json, stamped({"peers": rows, "threads": torch.get_num_threads(), "installed": installed}, began))
    if args.markdown:
        write_bytes(args.markdown, table.markdown(rows).encode())
    return 0
