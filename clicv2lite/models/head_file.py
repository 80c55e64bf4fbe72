"""The file of a head: its numbers, and which encoder it was fitted on (book chapter 8)."""

import json
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from clicv2lite.encoders.frozen import FrozenEncoder
from clicv2lite.encoders.weight_files import WEIGHTS, encoder_files
from clicv2lite.errors import UserError
from clicv2lite.files import digest, write_bytes
from clicv2lite.heads.base import KINDS, Head
from clicv2lite.json_object import read_object
from clicv2lite.ranges import shown

HEAD_FILE = "head.safetensors"
FORMAT = 1


def write_head(folder: Path, head: Head, encoder: FrozenEncoder) -> None:
    """Write head.safetensors beside the files of its encoder, which are there already."""
    about = {
        "format": FORMAT,
        "kind": head.kind,
        "config": head.config(),
        "encoder": {"size": encoder.size, "width": encoder.width, **_digests(folder)},
    }
    write_bytes(folder / HEAD_FILE, save(head.tensors(), metadata={"clicv2lite": json.dumps(about)}))


def read_head(folder: Path) -> Head:
    """The head in a folder.

    Raises:
        UserError: if its file is damaged, or the encoder beside it is not the one that it was fitted on.
    """
    path = folder / HEAD_FILE
    try:
        with safe_open(path, framework="pt") as file:
            about = read_object((file.metadata() or {})["clicv2lite"])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
        if about["format"] != FORMAT:
            raise ValueError(f"format {shown(about['format'])}; clicv2lite may be too old for it")
        head = KINDS[about["kind"]].restore(about["config"], tensors)
        expected = {"sha256": about["encoder"]["sha256"]}
        expected |= {"beside": about["encoder"]["beside"]} if "beside" in about["encoder"] else {}
    except (OSError, SafetensorError, KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UserError(f"{path}: this is not a head of clicv2lite ({reason}); run probe --out again") from error
    encoder_file = folder / WEIGHTS
    if not encoder_file.is_file() or _digests(folder) != expected:
        raise UserError(f"{encoder_file}: missing, or not the encoder this head was fitted on; run probe --out again")
    return head


def check_fits(path: Path, head: Head, encoder: FrozenEncoder) -> None:
    """UserError if a head, of this file, reads another number of features than its encoder gives."""
    wanted = encoder.feature_count if head.reads == "features" else encoder.width
    if head.config()["width"] != wanted:
        read = head.config()["width"]
        raise UserError(f"{path}: reads {read} numbers, and its encoder gives {wanted}; run probe --out again")


def _digests(folder: Path) -> dict[str, Any]:
    first, *others = map(digest, encoder_files(folder))
    return {"sha256": first} | ({"beside": others} if others else {})
