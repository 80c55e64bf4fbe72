"""How often each flag is raised: by stated kind, by category of Savoias, and on made images where it should be.

python tests/data/flag_rates.py --images photos.tar --ratings ratings.csv --json flags.json
"""

import argparse
import io
import json
import random
import tarfile
import time
from collections import defaultdict
from pathlib import Path

from PIL import Image, ImageDraw, ImageFont

from clicv2lite.data.flags import FLAGS, image_flags
from clicv2lite.data.images import read_square
from clicv2lite.data.inputs import square
from clicv2lite.data.rated.table import read_ratings
from clicv2lite.files import put_json
from clicv2lite.provenance import stamped

SIDE = 448
EACH = 200  # made images of a kind
WORDS = [
    "the",
    "of",
    "and",
    "image",
    "people",
    "rate",
    "complex",
    "simple",
    "each",
    "crowd",
    "model",
    "which",
    "score",
    "labels",
]


def flagged(source, name=None):
    """The flags of a file's bytes, a path, or an image of PIL."""
    size = []
    if isinstance(source, Image.Image):
        seen = square(source, SIDE, sized=size.append)
    else:
        seen = read_square(source, SIDE, name, sized=size.append)
    return image_flags(seen, size[0])


def jpeg(image):
    """The image after JPEG of quality 80."""
    file = io.BytesIO()
    image.save(file, "JPEG", quality=80)
    return file.getvalue()


def page(chance):
    """A page of text, dark on light or light on dark."""
    width, height, points = chance.randint(400, 1200), chance.randint(400, 1200), chance.randint(14, 30)
    paper, ink = ((245, 245, 240), (20, 20, 20)) if chance.random() < 0.7 else ((25, 25, 30), (230, 230, 230))
    image = Image.new("RGB", (width, height), paper)
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(points)
    for top in range(points, height - 2 * points, round(1.5 * points)):
        line = " ".join(chance.choices(WORDS, k=width // (4 * points)))
        draw.text((points, top), line, ink, font)
    return image


def made(photos, chance):
    """What each flag is for: flag -> the encoded images."""
    found = defaultdict(list)
    for i in range(EACH):
        photo = photos[i % len(photos)]
        level = tuple(chance.randint(0, 255) for _ in range(3))
        found["uniform"].append(
            jpeg(Image.effect_noise((300, 300), 2).convert("RGB") if i % 2 else Image.new("RGB", (300, 200), level))
        )
        found["small"].append(jpeg(photo.resize((chance.randint(16, 110), chance.randint(16, 110)))))
        found["narrow"].append(jpeg(photo.resize((round(200 * chance.uniform(3.1, 8)), 200))))
        band = round(photo.height * chance.uniform(0.08, 0.3))
        framed = Image.new("RGB", (photo.width, photo.height + 2 * band), chance.choice(["black", "white", level]))
        framed.paste(photo, (0, band))
        found["border"].append(jpeg(framed))
        found["text"].append(jpeg(page(chance)))
    return found


def main():
    """Count, and write the shares."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--images", required=True)
    parser.add_argument("--ratings", required=True)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    began, chance = time.perf_counter(), random.Random(0)
    groups, photos = defaultdict(list), []
    with tarfile.open(args.images) as tar:
        members = {member.name: member for member in tar}
        for name in sorted(name for name in members if name.endswith(".jpg")):
            kind = json.loads(tar.extractfile(members[name.removesuffix("jpg") + "json"]).read())["kind"]
            data = tar.extractfile(members[name]).read()
            flags = flagged(data, name)
            groups[kind].append(flags)
            if kind == "photo" and not flags and len(photos) < EACH:
                photos.append(Image.open(io.BytesIO(data)).convert("RGB"))
    ratings = read_ratings(args.ratings)
    for path, category in zip(ratings.paths, ratings.categories, strict=True):
        groups[f"Savoias: {category}"].append(flagged(path))
    shares = {
        name: {"n": len(found)} | {f: sum(f in x for x in found) / len(found) for f in FLAGS} for name, found in groups.items()
    }
    rates = {flag: sum(flag in flagged(data) for data in images) / EACH for flag, images in made(photos, chance).items()}
    result = {"groups": shares, "made": {"n": EACH, "share": rates}}
    put_json(args.json, stamped(result, began))


if __name__ == "__main__":
    main()
