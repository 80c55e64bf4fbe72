"""What packed images look like: the options that `data pack` and `data ic1m` share."""

import argparse
from dataclasses import dataclass

from clicv2lite.errors import UserError


@dataclass(frozen=True)
class Form:
    """What an image becomes, and how many go into a shard."""

    side: int = 256  # pixels of the short side, at most
    quality: int = 90  # of the JPEGs
    shard: int = 1000  # images of the source

    def __post_init__(self) -> None:
        """Raises UserError for a value out of range."""
        for option, value, low, high in (
            ("--side", self.side, 16, 65_535),
            ("--quality", self.quality, 1, 95),
            ("--shard", self.shard, 1, 1_000_000),
        ):
            if not low <= value <= high:
                raise UserError(f"{option} {value}: give {low:,} to {high:,}")


def add_form(part: argparse.ArgumentParser) -> None:
    """Declare `--side`, `--quality`, `--shard` and `--jobs`."""
    for option, default, unit, text in (
        ("--side", Form.side, "PX", "the short side, at most"),
        ("--quality", Form.quality, "Q", "of the JPEGs"),
        ("--shard", Form.shard, "N", "images of the source in a tar"),
    ):
        part.add_argument(option, type=int, default=default, metavar=unit, help=f"{text} (default %(default)s)")
    part.add_argument("--jobs", type=int, metavar="N", help="processes that pack (default: one per core)")
