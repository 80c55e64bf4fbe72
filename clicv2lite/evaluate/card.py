"""The card of a released model, written from the numbers of the files in its folder (book chapter 12)."""

import json
import re
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from clicv2lite.evaluate.card_meaning import SAVOIAS, flag_table, meaning, option, table_name
from clicv2lite.evaluate.cells import ends, number
from clicv2lite.evaluate.stored import layouts_tried, read_json, read_results, stored_results
from clicv2lite.json_object import read_object
from clicv2lite.models.by_name import DEFAULT
from clicv2lite.models.model import load_model
from clicv2lite.pretrain.export import numbered_config
from clicv2lite.provenance import code_version
from clicv2lite.recipes.recipe import Recipe
from clicv2lite.recipes.settings import stored_recipe

RELEASE, PROBE = "release.json", "probe.json"
READINGS = {
    "tokens": "the patches' tokens of all blocks, pooled over the image to {features} numbers that go into the ridge",
    "likeness": "for each patch and block, five numbers that say how alike its token is to those of the other patches of its "
    "image, {sizes}; their {statistics}, {features} numbers, go into the ridge",
    "nearest": "for each patch and block read, the cosines of its token with the two of its image that are most like it and "
    "with its neighbours, and how rare it is, with and without the mean token, {sizes}; their {statistics}, {features} "
    "numbers, go into the ridge",
}
UNDEFINED = "not defined"  # a correlation with what does not vary
AS_WAS = "with the reading of its first release"
TEMPLATE = Path(__file__).with_name("card_template.md")


def card(folder: Path) -> str:
    """The model card as Markdown, every number from the JSON files in `folder`.

    That of our own pretraining and of Savoias also compares with the stored results.
    """
    config, probe, release = (json.loads((folder / n).read_text("utf-8")) for n in ("config.json", PROBE, RELEASE))
    table = table_name(probe["n"], probe["per_category"], probe["command"])
    ours = table == SAVOIAS and config["images"] == read_json(DEFAULT / "config.json")["images"]
    model, same = load_model(folder, "cpu"), release["same_folds"]
    costs = [release["pretraining"], *release.get("added", [])]
    alone = {f"encoder {number} alone, read in the same way": r for number, r in enumerate(same.get("alone", []), 1)}
    first = "the encoder" if len(costs) == 1 else "encoder 1"
    plain = "its tokens pooled as in chapter 8" if ours else "read as its recipe says"
    compared = {
        "**this model**: read as above, ridge": probe,
        **alone,
        f"{first}, {plain}, ridge": same["pooling_of_the_run"],
        "the same architecture and reading, untrained": same["untrained"],
        **(_stored_rows() if ours else {}),
    }
    rows = [f"| {name} | {_number(r['mean_pcc'])} | {_interval(r)} |" for name, r in compared.items()]
    parts = probe["per_category"].items()
    by_category = [f"| {name} | {r['n']} | {_number(r['pcc'])} | {_number(r['srcc'])} |" for name, r in parts]
    unseen, key = same.get("unseen_category"), release.get("key")
    marks = {
        "savoias" if ours else "other",
        "one" if len(costs) == 1 else "several",
        "heads" if key else "headless",
        *(["kinds"] if parts else []),
        *(["unseen"] if parts and unseen and unseen["mean_pcc"] is not None else []),
    }
    return _marked(TEMPLATE.read_text(encoding="utf-8"), marks).format(
        name=folder.resolve().name,
        recipe=config["recipe"],
        side=model.encoder.size,
        table=table,
        within=f" within the categories of {table}" if parts else "",
        mean=f", mean over its {len(parts)} categories" if parts else "",
        pooled=_number(probe["pcc"]),
        config=config | {"commit": config.get("commit") or code_version(config)},
        probe=probe,
        files=", ".join(f"`{name}`" for name in release["bytes"]),
        encoders="\n".join(_encoder_row(folder, number, cost) for number, cost in enumerate(costs, 1)),
        rounding=release["float16"],
        key=key,
        heads=f"; projection head and decoder of {first}" if key else "",
        first=first,
        First=first.capitalize(),
        seeds="one" if len(costs) == 1 else "one an encoder",
        unseen=unseen and f"{_number(unseen['mean_pcc'])} ({_interval(unseen)})",
        minutes=sum(cost["seconds"] for cost in costs) / 60,
        megabytes=sum(release["bytes"].values()) / 1e6,
        move="moved" if release.get("read_again") else "move",
        as_was=f" This was measured {release['float16'].get('measured', AS_WAS)}." if release.get("read_again") else "",
        reading=_reading(config["recipe"], model.head.config()["width"]),
        tried=layouts_tried(),
        recipes=len((stored_results() / "tries.csv").read_text("utf-8").splitlines()) - 1,
        rows="\n".join(rows),
        categories="\n".join(by_category),
        meaning=meaning(folder),
        flags=flag_table(read_json(stored_results() / "flags.json")),
        again=_again(folder, len(costs), probe["command"]),
    )


def _stored_rows() -> dict[str, Any]:
    """What a card for Savoias compares with: stored results on its ratings."""
    folder = stored_results()
    measures = read_results(folder).measures
    best = max(measures, key=lambda name: measures[name]["mean_pcc"])
    return {
        "eleven hand-crafted measures, ridge": read_json(folder / "handcrafted_within.json"),
        f"best single hand-crafted measure ({best.replace('_', ' ')})": measures[best],
        "EfficientNet-lite0, supervised on ImageNet, ridge": read_json(
            folder / "supervised" / "efficientnet_lite0_within.json"
        ),
    }


def _marked(template: str, marks: set[str]) -> str:
    """The lines of a template without a mark, as `%other`, and those with one of these, without it."""
    parts = re.findall(r"^(?:%(\w+) ?)?(.*\n)", template, re.M)
    return "".join(line for mark, line in parts if not mark or mark in marks)


def _reading(recipe: Mapping[str, Any], features: int) -> str:
    names = {"mean": "means", "std": "deviations", "max": "maxima", "min": "minima"}
    sizes = {0: "in the image", 1: "in the image and in the image halved"}
    halvings = recipe["pool_halvings"]
    times = " and ".join(map(str, recipe.get("pool_zoom", ())))
    zoomed = f", and of the embedding alone of the middle of each patch, {times} times as large" if times else ""
    return READINGS[recipe["pool_read"]].format(
        sizes=sizes.get(halvings, f"in the image and in the image halved {halvings} times") + zoomed,
        statistics=" and ".join(names[name] for name in recipe["pool_statistics"]),
        features=features,
    )


def _encoder_row(folder: Path, number: int, cost: dict[str, Any]) -> str:
    """One encoder of a card: how it was made, from its configuration."""
    config = read_object((folder / numbered_config(number)).read_text("utf-8"))
    recipe = stored_recipe(config["recipe"])
    cells = [
        f"{number}",
        recipe.encoder.patch_embed,
        _shift(recipe),
        f"{cost['passes']:,} ({cost['passes'] / config['images']:.0f})",
    ]
    cells += [
        f"{cost['seconds'] / 60:.0f}",
        f"{recipe.seed}",
        f"{config.get('commit') or code_version(config)}; {config['versions']}",
    ]
    return f"| {' | '.join(cells)} |"


def _shift(recipe: Recipe) -> str:
    return f"to {recipe.views.shift_limit} px" if recipe.views.shift_limit else "none"


def _again(folder: Path, count: int, probed: str) -> str:
    """The commands that make the model, with the ratings of the command that fitted its head."""
    configs = [read_object((folder / numbered_config(number)).read_text("utf-8")) for number in range(1, count + 1)]
    trained = [str(config["command"]) for config in configs]
    runs = " ".join(shlex.quote(option(words, "--out", "RUN")) for words in trained)
    pooling = {key: value for key, value in configs[0]["recipe"].items() if key.startswith("pool_") and value != []}
    settings = " ".join(f"{key}={','.join(map(str, v)) if isinstance(v, list) else v}" for key, v in pooling.items())
    scale = re.search(r" --score-range \S+ \S+", probed)
    ratings = f'--ratings "{option(probed, "--ratings")}"{scale[0] if scale else ""}'
    place = f"--out models/{folder.resolve().name}"  # not over that of the package
    release = f"clicv2lite release {runs} \\\n    {ratings} \\\n    --set {settings} \\\n    {place}"
    return "\n".join([*trained, release])


def _interval(result: Mapping[str, Any]) -> str:
    return ends(result["mean_pcc_ci"]) or UNDEFINED


def _number(value: float | None) -> str:
    return number(value) or UNDEFINED
