import io
import threading

import pytest
import torch

from clicv2lite import lines
from clicv2lite.models.model import load_model
from clicv2lite.score import scoring
from clicv2lite.score.arguments import find_images
from clicv2lite.score.scoring import score_rows


@pytest.fixture
def model(models):
    return load_model(models[0])


def test_batches_come_in_order_and_never_more_than_two_a_job_wait(photos, model, monkeypatch):
    rows = find_images([str(photos)]) * 20
    started, ahead = [], 0
    original = scoring._score

    def spy(rows, targets, model):
        started.append(threading.get_ident())
        return original(rows, targets, model)

    monkeypatch.setattr(scoring, "_score", spy)
    got = []
    for taken, part in enumerate(score_rows(rows, model, 3, jobs=2), 1):
        ahead = max(ahead, len(started) - taken)
        got += part
    assert [row.image for row in got] == [row.image for row in rows] and len(started) == 60
    assert ahead <= 4


def test_torchs_threads_are_shared_while_scoring_and_given_back(photos, model, monkeypatch):
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    seen = set()
    original = scoring._score

    def spy(rows, targets, model):
        seen.add(torch.get_num_threads())
        return original(rows, targets, model)

    monkeypatch.setattr(scoring, "_score", spy)
    try:
        list(score_rows(find_images([str(photos)]), model, 2, jobs=4))
        assert seen == {1} and torch.get_num_threads() == 4
        list(score_rows(find_images([str(photos / "0.png")]), model, 2, jobs=4))
        assert seen == {1, 4}  # a single image may have all of them
    finally:
        torch.set_num_threads(before)


def test_there_is_no_bar_in_a_file_unless_it_takes_long(photos, model, monkeypatch):
    for quiet, said in ((30.0, False), (0.0, True)):
        stream = io.StringIO()
        monkeypatch.setattr("sys.stderr", stream)
        monkeypatch.setattr(lines, "QUIET", quiet)
        list(score_rows(find_images([str(photos)]), model, 2))
        assert ("img/s" in stream.getvalue()) is said, quiet


def test_few_images_are_spread_over_the_jobs(photos, model):
    assert [len(part) for part in score_rows(find_images([str(photos)]), model, 32, jobs=3)] == [3, 3, 3]
