"""`clicv2lite onnx`: a model as one ONNX file, to score images without Python (book chapter 12).

Input `images`: (B, 3, S, S) uint8, RGB, made square by `data.images.to_square`, for any B. Output `score`: (B,) float32 in
0..1. The file contains normalisation, encoder, pooling and head.
"""

import argparse
import copy
import os
import warnings
from contextlib import ExitStack
from pathlib import Path

import torch

from clicv2lite.ambient import own_settings
from clicv2lite.encoders.plain_vit import PlainViT
from clicv2lite.extras import need
from clicv2lite.files import atomic, check_output_file
from clicv2lite.models.model import Model, load_model
from clicv2lite.models.module import Scorer
from clicv2lite.outputs import add_output

OPSET = 18  # the oldest that the exporter writes: runtimes read what is older than they are


@own_settings()
def export_onnx(model: Model, path: str | Path) -> None:
    """Write a model as ONNX. The file is complete, or it is not written at all.

    Args:
        model: a model with a ridge head.
        path: the file to write; the weights are inside it.

    Raises:
        UserError: if the head is not a ridge head, the path cannot be written, or packages of the extra `onnx` are missing.
    """
    need("onnx", "onnx", "onnxscript")  # torch's exporter asks for both late
    path = Path(path)
    check_output_file(path, "--out")
    scorer = Scorer(copy.deepcopy(model.encoder), model.head).eval().cpu()  # a copy: the model stays where it is
    images = torch.zeros(2, 3, model.encoder.size, model.encoder.size, dtype=torch.uint8)
    with torch.no_grad(), ExitStack() as kept, warnings.catch_warnings():
        for net in scorer.nets:
            if isinstance(net, PlainViT):
                kept.enter_context(net.kept_positions())
        warnings.simplefilter("ignore")  # warnings about the inside of the exporter
        scorer(images)  # keeps the positions: the exporter of torch 2.11 resamples them by another kernel
        program = torch.onnx.export(
            scorer,
            (images,),
            input_names=["images"],
            output_names=["score"],
            dynamic_shapes={"images": {0: torch.export.Dim("batch")}},
            dynamo=True,
            opset_version=OPSET,
            verbose=False,
        )
    assert program is not None
    with atomic(path) as temporary:
        program.save(str(temporary), external_data=False)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `onnx`."""
    parser.add_argument(
        "--model", default="default", metavar="M", help="default, lite, or a folder that `clicv2lite probe --out` wrote"
    )
    add_output(parser, "--out", required=True, help="the file to write")
    parser.epilog = __doc__.partition("\n\n")[2]


def run(args: argparse.Namespace) -> int:
    """Write the file and say how large it is; exit status 0."""
    export_onnx(load_model(args.model, device="cpu"), args.out)
    print(f"{args.out}: {os.path.getsize(args.out) / 1e6:.1f} MB")
    return 0
