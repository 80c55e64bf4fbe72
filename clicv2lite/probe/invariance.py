"""`clicv2lite invariance`: what an encoder knows of content, not only of complexity (CLICv2, 4.4 and 4.5; chapter 9).

A probe for semantic categories, the nearest neighbours, and t-SNE.
"""

import argparse
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike
from torch import Tensor

from clicv2lite.arrays import Floats, Names, Rows
from clicv2lite.data.names import as_cell
from clicv2lite.device import add_device, choose_device
from clicv2lite.errors import UserError, check_seed, one_line
from clicv2lite.extras import extra
from clicv2lite.files import below, put_json, write_table
from clicv2lite.heads.ridge import fit_ridge
from clicv2lite.models.by_name import ENCODERS, load_encoder
from clicv2lite.outputs import add_json, add_output
from clicv2lite.probe.crossval import cross_validate, predicted, splits
from clicv2lite.probe.encoding import encode_task
from clicv2lite.probe.metrics import RESAMPLES, interval, report
from clicv2lite.probe.task import Task, add_score_range, load_task
from clicv2lite.provenance import stamped

with extra("probe"):
    from sklearn.decomposition import PCA
    from sklearn.linear_model import LogisticRegression
    from sklearn.manifold import TSNE
    from sklearn.neighbors import NearestNeighbors
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

FOLDS, NEIGHBOURS, COMPONENTS, PERPLEXITY = 5, 10, 50, 30
INVERSE_PENALTY = 0.01  # strong: more features than images; at 0.001 and at 0.1 balanced accuracy is lower for every encoder


def class_probe(
    features: Tensor,
    categories: Sequence[str],
    tests: list[Rows],
    resamples: int = RESAMPLES,
    seed: int = 0,
    train: Rows | None = None,
) -> dict[str, Any]:
    """The category probe: how well a linear classifier names the semantic category of images it was not fitted on.

    It reads standardised features. The paper's top-1 accuracy is another number, on the thousand classes of ImageNet; see
    :mod:`clicv2lite.probe.imagenet`.

    Args:
        features: (n, F). categories: (n,) names, two or more among the rows that are fitted. tests: rows to test on; for each
            of them the classifier is fitted anew.
        resamples, seed: of the bootstrap over images. train: rows to fit on; None: all that are not in the test.

    Returns:
        accuracy, the share of the tested images whose category is right, with accuracy_ci (95 %); chance: the share of the
        largest category among them, which a constant answer reaches; balanced_accuracy: the mean over categories of the share
        found, whose chance is 1 / categories.
    """
    rows, found = name_categories(features, categories, tests, train)
    return class_report([categories[i] for i in rows], found, resamples, seed)


def name_categories(
    features: Tensor, categories: Sequence[str], tests: list[Rows], train: Rows | None = None
) -> tuple[Rows, Names]:
    """The (m,) rows that are tested, ascending, and the (m,) categories that the category probe names for them.

    Arguments as in :func:`class_probe`.

    Raises:
        UserError: if a classifier would be fitted on one category alone.
    """
    check_classes(categories, tests, train, "--ratings")
    names, x = np.asarray(categories), features.double().numpy()
    found = names.copy()
    for test in tests:
        fitted = _fitted(len(names), test, train)
        classifier = make_pipeline(StandardScaler(), LogisticRegression(C=INVERSE_PENALTY, max_iter=1000))
        found[test] = classifier.fit(x[fitted], names[fitted]).predict(x[test])
    rows = np.sort(np.concatenate(tests))
    return rows, found[rows]


def check_classes(categories: Sequence[str], tests: list[Rows], train: Rows | None, table: object) -> None:
    """Refuse categories that :func:`class_probe` cannot be fitted on; arguments as there, `table` is named in the error.

    Raises:
        UserError: if for one of the tests all rows to fit on are of one category.
    """
    names = np.asarray(categories)
    for test in tests:
        if len(found := np.unique(names[_fitted(len(names), test, train)])) < 2:
            if not any(found):
                raise UserError(f"{table}: needs a category column with two or more categories")
            what = f"a category probe would be fitted on images of category {one_line(found[0])} alone"
            raise UserError(f"{table}: {what}; give two or more of another one to fit on")


def _fitted(n: int, test: Rows, train: Rows | None) -> Rows:
    return np.setdiff1d(np.arange(n), test) if train is None else train


def class_report(categories: Sequence[str], found: Names, resamples: int = RESAMPLES, seed: int = 0) -> dict[str, Any]:
    """What :func:`class_probe` returns, of the tested images' (m,) categories and the (m,) that were named."""
    names = np.asarray(categories)
    right = (found == names).astype(float)
    drawn = np.random.default_rng(seed).integers(len(right), size=(resamples, len(right)))
    return {
        "accuracy": float(right.mean()),
        "accuracy_ci": interval(right[drawn].mean(1)),
        "chance": float(np.unique(names, return_counts=True)[1].max() / len(names)),
        "balanced_accuracy": float(np.mean([right[names == name].mean() for name in np.unique(names)])),
    }


def tsne(features: Tensor, seed: int = 0) -> Floats:
    """Two coordinates per image (figure 7): t-SNE of the standardised features' first 50 principal components.

    Args:
        features: (n, F). seed: of the start; n is above the perplexity, 30.

    Returns:
        (n, 2). Neighbours mean something; distances between clusters, their sizes and densities do not.

    Raises:
        UserError: if there are too few images.
    """
    if len(features) <= PERPLEXITY:
        raise UserError(f"--ratings: {len(features)} readable images; t-SNE needs more than {PERPLEXITY}")
    x = StandardScaler().fit_transform(features.double().numpy())
    x = PCA(min(COMPONENTS, *x.shape), random_state=seed).fit_transform(x)
    points: Floats = TSNE(perplexity=float(PERPLEXITY), random_state=seed).fit_transform(x).astype(np.float64)
    return points


def neighbourhood(
    points: ArrayLike, categories: Sequence[str], scores: ArrayLike, k: int = NEIGHBOURS
) -> dict[str, float | None]:
    """What the k nearest neighbours of an image, without itself, have in common with it: a number for a picture.

    Args:
        points: (n, d) features or map coordinates. categories: (n,). scores: (n,). k: below n.

    Returns:
        class_agreement: the mean share of neighbours of the same category, and class_chance, what it would be if neighbours
        were drawn at random; score_r2: how much of the scores' variance the mean score of the neighbours explains,
        1 at best, 0 or less if nothing, None if all scores are the same.
    """
    y, names = np.asarray(scores, dtype=np.float64), np.unique(categories, return_inverse=True)[1]
    near = NearestNeighbors(n_neighbors=k).fit(points).kneighbors(return_distance=False)  # without a point itself
    count, spread = np.bincount(names), ((y - y.mean()) ** 2).sum()
    return {
        "class_agreement": float((names[near] == names[:, None]).mean()),
        "class_chance": float((count * (count - 1)).sum() / (len(y) * (len(y) - 1))),
        "score_r2": float(1 - ((y - y[near].mean(1)) ** 2).sum() / spread) if np.ptp(y) else None,
    }


def unseen_category(
    features: Tensor, categories: Sequence[str], scores: ArrayLike, seed: int = 0, within: bool = False
) -> dict[str, Any]:
    """The ridge probe on categories that it was not fitted on: each is predicted from all others.

    Args:
        features: (n, F). categories: (n,) names, two or more. scores: (n,). seed: of the bootstrap.
        within: fit differences within the other categories only.

    Returns:
        mean_pcc with mean_pcc_ci, pcc_variance, per_category: {name: {n, pcc, srcc, pcc_ci}}.
    """
    y, names = np.asarray(scores, dtype=np.float64), np.asarray(categories)
    tests = [np.flatnonzero(names == name) for name in np.unique(names)]
    predictions = cross_validate(fit_ridge, features, y, tests, names if within else None)
    found = report(y, predictions, categories, seed=seed)
    return {key: found[key] for key in ("mean_pcc", "mean_pcc_ci", "pcc_variance", "per_category")}


def invariance(features: Tensor, task: Task, seed: int = 0) -> tuple[dict[str, Any], Floats]:
    """Everything that chapter 9 compares encoders by.

    Args:
        features: (n, F) of the task's images, which have categories. seed: of folds, bootstrap and t-SNE. Where the task has
            rows to test on, the ridge and the category probe are fitted on its others; the rest is about all images.

    Returns:
        the report of the ridge probe (:func:`clicv2lite.probe.metrics.report`) with unseen_category, class_probe, and
        neighbours of features and of the t-SNE map; the (n, 2) map.
    """
    names = task.categories or []
    tests, train = splits(task, FOLDS, seed)
    rows, predictions = predicted(fit_ridge, features, task, FOLDS, seed)
    points = tsne(features, seed)
    standardised = StandardScaler().fit_transform(features.double().numpy())
    result = report(task.scores[rows], predictions, [names[i] for i in rows], seed=seed) | {
        "unseen_category": unseen_category(features, names, task.scores, seed),
        "class_probe": class_probe(features, names, tests, seed=seed, train=train),
        "neighbours": {
            "features": neighbourhood(standardised, names, task.scores),
            "tsne": neighbourhood(points, names, task.scores),
        },
    }
    return result, points


def write_map(path: Path, task: Task, points: Floats, root: Path) -> None:
    """Write image,category,score,x,y, image paths relative to ``root`` where they lie below it."""
    cells = (
        (as_cell(below(image, root), path=True), as_cell(name), f"{score:.3f}", f"{x:.1f}", f"{y:.1f}")
        for image, name, score, (x, y) in zip(task.paths, task.categories or [], task.scores, points, strict=True)
    )
    write_table(path, ("image", "category", "score", "x", "y"), cells)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of `invariance`."""
    parser.add_argument("--encoder", required=True, metavar="E", help=ENCODERS)
    parser.add_argument("--ratings", required=True, metavar="CSV", help="rating table image,score,category[,split]")
    add_score_range(parser)
    add_device(parser)
    add_json(parser)
    add_output(parser, "--tsne", help="write the map to this CSV file: image,category,score,x,y")
    parser.add_argument("--seed", type=int, default=0, help="of folds, random encoder, bootstrap and t-SNE (default 0)")


def run(args: argparse.Namespace) -> int:
    """Encode the images of a rating table and report; exit status 0.

    Raises:
        UserError: for a table, an encoder or an image that cannot be used, or an output that cannot be written.
    """
    began = time.perf_counter()
    check_seed(args.seed)
    device = choose_device(args.device)
    task = load_task(args.ratings, None, None, args.score_range)
    if task.categories is None or len(set(task.categories)) < 2:
        raise UserError(f"--ratings {args.ratings}: needs a category column with two or more categories")
    if len(task.paths) <= PERPLEXITY:
        raise UserError(f"--ratings {args.ratings}: {len(task.paths)} images; t-SNE needs more than {PERPLEXITY}")
    check_classes(task.categories, *splits(task, FOLDS, args.seed), f"--ratings {args.ratings}")
    if (others := len(task.categories) - max(Counter(task.categories).values())) < 2:
        raise UserError(f"--ratings {args.ratings}: {others} image is of another category than all others; give two or more")
    encoder = load_encoder(args.encoder, args.seed).to(device)
    features, task, skipped = encode_task(encoder, "ridge", task, batch_size=64)
    found, points = invariance(features, task, args.seed)
    result = {"metric": "mean_pcc", **found, "encoder": args.encoder, "skipped": skipped, "seed": args.seed}
    put_json(args.json, stamped(result, began, device))
    if args.tsne is not None:
        write_map(args.tsne, task, points, Path(args.ratings).parent)
    return 0
