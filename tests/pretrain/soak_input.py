"""Read many small images through a Feed: `python tests/pretrain/soak_input.py --images 100000` prints rate and memory."""

import argparse
import io
import json
import os
import resource
import tarfile
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from clicv2lite.data.sources import open_images
from clicv2lite.pretrain.input.feed import Feed
from clicv2lite.recipes.library import get_recipe


def make_tars(folder: Path, images: int, tars: int) -> str:
    """Write `images` JPEGs of about 2 KB into tars; returns their pattern. A hundred pictures, each image one of them."""
    rng = np.random.default_rng(0)
    pictures = []
    for _ in range(100):
        buffer = io.BytesIO()
        coarse = Image.fromarray(rng.integers(0, 256, (6, 8, 3), dtype=np.uint8))
        coarse.resize((rng.integers(70, 110), rng.integers(60, 90)), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=80)
        pictures.append(buffer.getvalue())
    folder.mkdir(parents=True, exist_ok=True)
    for k, part in enumerate(np.array_split(np.arange(images), tars)):
        with tarfile.open(folder / f"{k:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as tar:
            for i in part:
                data = pictures[i % 100]
                info = tarfile.TarInfo(f"{i:09d}.jpg")
                info.size = len(data)
                tar.addfile(info, io.BytesIO(data))
        os.utime(folder / f"{k:06d}.tar", (1e9, 1e9))  # old enough for its index to be kept
    return f"{folder}/{{{0:06d}..{tars - 1:06d}}}.tar"


def resident() -> int:
    """Bytes of memory that this process holds now."""
    return int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1]) * resource.getpagesize()


def soak(pattern: str, batch: int = 256, size: int = 64, workers: int = -1) -> dict[str, float]:
    """One pass through a set; memory is compared after a tenth of it, when all buffers are there, and at its end."""
    began = time.perf_counter()
    images = open_images([pattern])
    opened = time.perf_counter() - began
    recipe = get_recipe("vit-b32", [f"size={size}", f"batch={batch}", f"passes={len(images)}", f"workers={workers}"])
    memory: list[int] = []
    began, used = time.perf_counter(), time.process_time()
    with Feed(images, recipe) as feed:
        for _ in feed:
            memory.append(resident())
    seconds, used = time.perf_counter() - began, time.process_time() - used
    settled = memory[len(memory) // 10 :]
    return {
        "images": recipe.steps * batch, "bad": len(feed.bad), "opened_seconds": round(opened, 3),
        "images_per_second": round(recipe.steps * batch / seconds),
        "images_per_core_second": round(recipe.steps * batch / used), "waited_seconds": round(feed.waited, 2),
        "memory_mb": round(settled[0] / 2**20), "growth_mb": round((max(settled) - settled[0]) / 2**20, 1),
    }  # fmt: skip


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--images", type=int, default=100_000)
    parser.add_argument("--tars", type=int, default=100)
    parser.add_argument("--workers", type=int, default=-1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["CLICV2LITE_CACHE"] = f"{folder}/cache"
        pattern = make_tars(Path(folder) / "tars", args.images, args.tars)
        print("first:", json.dumps(soak(pattern, workers=args.workers)))
        print("again, from the indexes:", json.dumps(soak(pattern, workers=args.workers)))
