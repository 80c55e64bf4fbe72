from pathlib import Path

import pytest

from clicv2lite.data.rated.ic9600 import category, ic9600_ratings
from clicv2lite.errors import UserError


def make(root: Path, train: str, test: str = "") -> Path:
    (root / "images").mkdir(exist_ok=True)
    for line in (train + test).lstrip("\ufeff").splitlines():
        if line.strip():
            (root / "images" / line.rsplit(maxsplit=1)[0].strip()).touch()
    (root / "train.txt").write_bytes(train.encode())
    (root / "test.txt").write_bytes(test.encode())
    return root


def fails(root: Path, *words: str) -> None:
    with pytest.raises(UserError) as caught:
        ic9600_ratings(root, "train")
    assert "\n" not in str(caught.value)
    for word in words:
        assert word in str(caught.value), str(caught.value)


def test_names_scores_categories_and_split_are_read(tmp_path):
    make(tmp_path, "painting_12.jpg  0.25\nperson_3.png  1\n", "scene_1.jpg  0.5\nobject_2.jpg  0\n")
    train, test = ic9600_ratings(tmp_path, "train"), ic9600_ratings(tmp_path, "test")
    assert train.paths == [tmp_path / "images/painting_12.jpg", tmp_path / "images/person_3.png"]
    assert train.scores.tolist() == [0.25, 1] and train.categories == ["painting", "person"]
    assert train.splits == ["train"] * 2 and test.splits == ["test"] * 2
    assert test.categories == ["scene", "object"] and test.scores.tolist() == [0.5, 0]


def test_blanks_in_names_windows_line_ends_and_blank_lines_are_fine(tmp_path):
    make(tmp_path, "\ufeffabstract_a b c.jpg  0.25\r\n\r\nabstract_d.jpg\t0.5\r\nabstract_e.jpg 0.75")
    got = ic9600_ratings(tmp_path, "train")
    assert [path.name for path in got.paths] == ["abstract_a b c.jpg", "abstract_d.jpg", "abstract_e.jpg"]
    assert got.scores.tolist() == [0.25, 0.5, 0.75]


def test_without_a_prefix_there_is_no_category(tmp_path):
    make(tmp_path, "1.jpg  0.1\n2008_002672.jpg  0.2\n")
    assert ic9600_ratings(tmp_path, "train").categories is None
    make(tmp_path, "1.jpg  0.1\nPerson_2.jpg  0.2\n")
    assert ic9600_ratings(tmp_path, "train").categories == ["other", "person"]
    assert [category(name) for name in ("_a.jpg", "a", "a_b_c", "Ärt_1")] == ["", "", "a", "ärt"]


@pytest.mark.parametrize(
    "line, words",
    [
        ("b.jpg", "expected 'name  score'"),
        ("b.jpg  high", "score 'high' is not a number"),
        ("b.jpg  1.5", "score 1.5 is outside 0..1"),
        ("b.jpg  nan", "not finite"),
        ("a.jpg  0.4", "a.jpg is rated on line 1 already"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, line, words):
    make(tmp_path, f"a.jpg  0.5\n\n{line}\n")
    (tmp_path / "images/b.jpg").touch()
    fails(tmp_path, "train.txt line 3: ", words)


def test_a_missing_image_or_layout_is_named(tmp_path):
    fails(tmp_path, "images is missing here")
    make(tmp_path, "a.jpg  0.5\nb.jpg  0.6\n")
    (tmp_path / "images/b.jpg").unlink()
    fails(tmp_path, "train.txt line 2: there is no image b.jpg")
    (tmp_path / "train.txt").unlink()
    fails(tmp_path, "train.txt is missing here")


def test_empty_and_constant_tables_are_refused(tmp_path):
    fails(make(tmp_path, "\n"), "train.txt: the table has no rows")
    fails(make(tmp_path, "a.jpg  0.5\nb.jpg  0.5\n"), "all 2 scores are equal")


def test_a_file_in_another_encoding_is_one_line(tmp_path):
    (make(tmp_path, "") / "train.txt").write_bytes("é.jpg  0.5\n".encode("utf-16"))
    fails(tmp_path, "train.txt: not a text file in UTF-8")


def test_an_unknown_split_is_a_programming_error(tmp_path):
    with pytest.raises(ValueError, match="train and test"):
        ic9600_ratings(tmp_path, "val")
