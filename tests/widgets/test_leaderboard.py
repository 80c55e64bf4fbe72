"""Leaderboard: the same six pictures, ranks and correlations in Python, in the browser and by scipy."""

import inspect
import io
import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from scipy.stats import rankdata, spearmanr
from traitlets import TraitError

from clicv2lite.errors import UserError
from clicv2lite.extras import MissingPackage

module = pytest.importorskip("clicv2lite.widgets.leaderboard", exc_type=MissingPackage)
Leaderboard, draw_six = module.Leaderboard, module.draw_six

NAMES = [f"picture {i}" for i in range(9)]
PICTURES = {name: np.full((60, 80, 3), 25 * i, np.uint8) for i, name in enumerate(NAMES)}
RATINGS = [0.5, 0.1, 0.9, 0.3, 0.3, 0.7, 0.2, 0.8, 0.6]
MEASURES = {"size": range(9), "edges": [3, 1, 4, 1, 5, 9, 2, 6, 5], "flat": [1.0] * 9}
numbers = st.lists(st.integers(0, 4) | st.floats(-5, 5, width=16), min_size=2, max_size=12)


def board_of(**settings):
    return Leaderboard(PICTURES, RATINGS, MEASURES, **settings)


def scipy_spearman(a, b) -> float:
    return math.nan if len(set(a)) == 1 or len(set(b)) == 1 else float(spearmanr(a, b).statistic)


@given(st.data(), numbers)
def test_browser_ranks_and_correlates_as_scipy_ties_included(script, data, a):
    b = data.draw(st.lists(st.integers(0, 4), min_size=len(a), max_size=len(a)))
    np.testing.assert_allclose(script("ranks", a), rankdata(-np.array(a)))
    got = script("spearman", a, b)
    np.testing.assert_allclose(math.nan if got is None else got, scipy_spearman(a, b), atol=1e-12)


@given(st.integers(6, 24), st.integers(0, 2**32 - 1))
def test_browser_draws_the_same_six_and_none_twice(script, count, seed):
    six = draw_six(count, seed)
    assert script("drawSix", count, seed) == six
    assert len(set(six)) == 6 and min(six) >= 0 and max(six) < count


@given(
    st.permutations(NAMES[:6]),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
    st.lists(st.integers(0, 3), min_size=6, max_size=6),
)
def test_browser_and_python_agree_on_the_board(script, order, ratings, values):
    measures = {"m": values, "index": list(range(6))}
    pairs = [[name, column] for name, column in measures.items()]
    constants = {"names": NAMES[:6], "truth": ratings, "measures": pairs, "truth_label": "ratings"}
    drawn = script("board", {"constants": constants, "order": order})
    named = {name: dict(zip(NAMES, column, strict=False)) for name, column in measures.items()}
    board = module.leaderboard(order, dict(zip(NAMES, ratings, strict=False)), named)
    assert (tuple(drawn["pictures"]), tuple(drawn["scores"])) == (board.pictures, board.truth)
    assert drawn["chance"] == board.chance
    assert [row["name"] for row in drawn["standings"]] == [row.name for row in board.standings]
    assert [tuple(row["ranks"]) for row in drawn["standings"]] == [row.ranks for row in board.standings]
    got = [math.nan if row["spearman"] is None else row["spearman"] for row in drawn["standings"]]
    np.testing.assert_allclose(got, [row.spearman for row in board.standings], atol=1e-12)


def test_standings_are_scipys_and_the_best_comes_first():
    widget = board_of(seed=4)
    result, six = widget.result(), widget.six
    truth = [RATINGS[NAMES.index(name)] for name in six]
    columns = {name: [column[NAMES.index(picture)] for picture in six] for name, column in MEASURES.items()}
    columns["you"] = [-i for i in range(6)]
    want = {name: scipy_spearman(truth, column) for name, column in columns.items()}
    assert {row.name for row in result.standings} == set(want)
    for row in result.standings:
        np.testing.assert_allclose(row.spearman, want[row.name], atol=1e-12)
    known = [row.spearman for row in result.standings[:-1]]
    assert known == sorted(known, reverse=True) and result.standings[-1].name == "flat"  # not defined: last
    assert list(result.truth) == sorted(truth, reverse=True)


def test_chance_is_the_share_of_all_orders_that_do_as_well():
    widget = board_of(seed=2)
    truth = {name: RATINGS[NAMES.index(name)] for name in widget.six}
    mine = spearmanr([truth[name] for name in widget.order], range(6, 0, -1)).statistic
    ranks = [np.corrcoef(rankdata(list(truth.values())), values)[0, 1] for values in itertools.permutations(range(6))]
    assert widget.result().chance == np.mean(np.array(ranks) >= mine - 1e-9)
    widget.order = sorted(widget.six, key=truth.__getitem__, reverse=True)
    assert widget.result().standings[0].spearman > 0.98
    assert widget.result().chance <= 2 / 720  # one order, or two where two ratings are equal
    widget.order = widget.order[::-1]
    assert widget.result().chance >= 718 / 720


def test_new_seed_shows_another_six_and_hides_the_answer():
    widget = board_of(revealed=True)
    before = widget.six
    widget.seed = 1
    assert widget.order == widget.six != before and not widget.revealed
    assert sorted(widget.order) == sorted(NAMES[i] for i in draw_six(9, 1))


def test_what_the_front_end_sends_arrives_whole():
    widget, seen = board_of(revealed=True), []
    widget.observe(lambda change: seen.append(change["new"]), "order")
    six = [NAMES[i] for i in draw_six(9, 7)]
    widget.set_state({"revealed": False, "seed": 7, "order": six[::-1]})
    assert (widget.seed, widget.order, widget.revealed) == (7, six[::-1], False)
    assert seen == [six[::-1]]


def test_order_is_one_of_the_six_pictures_and_the_old_one_stays():
    widget = board_of(order=(six := board_of().six)[::-1])
    assert widget.order == six[::-1]
    for wrong in (six[:5], [*six[:5], six[0]], [*six[:5], "cat"]):
        with pytest.raises(TraitError, match="'order'"):
            widget.order = wrong
    assert widget.order == six[::-1]
    with pytest.raises(TraitError, match="'order'"):
        board_of(order=six[:2])


def test_values_may_be_given_by_name():
    by_name = dict(zip(NAMES[::-1], RATINGS[::-1], strict=True))
    named = Leaderboard(PICTURES, by_name, {"edges": dict(zip(NAMES, MEASURES["edges"], strict=True))})
    plain = Leaderboard(PICTURES, RATINGS, {"edges": MEASURES["edges"]})
    assert named.result() == plain.result()


@pytest.mark.parametrize(
    ("images", "ratings", "measures", "said"),
    [
        (dict(list(PICTURES.items())[:5]), RATINGS[:5], {}, "6 to 24 is needed, got 5"),
        (dict.fromkeys(range(25), PICTURES[NAMES[0]]), [0.0] * 25, {}, "got 25"),
        (PICTURES, RATINGS[:8], {}, "ratings: 8 values for 9"),
        (PICTURES, {"picture 0": 1.0}, {}, "ratings: no value for picture 1"),
        (PICTURES, RATINGS, {"size": range(3)}, "measures, size: 3 values"),
        (PICTURES, RATINGS, {"size": [*range(8), math.nan]}, "measures, size: the value of picture 8"),
        ({**PICTURES, "picture 0": "cat.png"}, RATINGS, {}, "str"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_one_line(images, ratings, measures, said):
    with pytest.raises(UserError, match=said) as error:
        Leaderboard(images, ratings, measures)
    assert "\n" not in str(error.value)


def test_thumbnails_show_the_pictures_and_the_state_is_small():
    rng = np.random.default_rng(0)
    noise = {f"noise {i}": rng.integers(0, 256, (200, 200, 3), dtype=np.uint8) for i in range(24)}
    state = Leaderboard(noise, range(24), {f"m{i}": range(24) for i in range(12)}).get_state()
    assert sum(map(len, state["thumbs"])) * 4 / 3 + len(state["_esm"]) + len(state["_css"]) < 400_000  # the dearest pictures
    for name, file in zip(NAMES, board_of().thumbs, strict=True):
        thumb = np.asarray(Image.open(io.BytesIO(file)))
        assert thumb.shape == (96, 96, 3) and np.abs(thumb.astype(int) - int(PICTURES[name][0, 0, 0])).max() <= 2


def test_representation_and_help_tell_the_settings():
    widget = board_of(seed=3)
    assert repr(widget) == f"Leaderboard(seed=3, order={widget.six!r}, revealed=False)"
    parameters = list(inspect.signature(Leaderboard).parameters)
    assert parameters == ["images", "ratings", "measures", "truth_label", "seed", "order", "revealed"]


def test_front_end_is_complete_and_needs_no_network():
    assert Leaderboard._esm.count("export default") == 1 and "import " not in Leaderboard._esm.replace("imported", "")
    assert "http" not in Leaderboard._css and Leaderboard._esm.count("http") == Leaderboard._esm.count("http://www.w3.org")
