from pathlib import Path

import numpy as np
import pytest

from clicv2lite.errors import UserError
from clicv2lite.probe.task import keep_rows, load_task


def table(folder, name, rows, header="image,score"):
    folder.mkdir(exist_ok=True)
    for row in rows:
        (folder / row.split(",")[0]).touch()
    path = folder / name
    path.write_text("\n".join([header, *rows]) + "\n")
    return str(path)


def names(paths):
    return [Path(p).name for p in paths]


def test_two_tables_are_used_whole(tmp_path):
    train = table(tmp_path / "a", "t.csv", ["1.jpg,0.1,test", "2.jpg,0.2,train"], "image,score,split")
    test = table(tmp_path / "b", "t.csv", ["1.jpg,0.3", "4.jpg,0.4"])
    task = load_task(train, test, None, None)
    assert names(task.paths) == ["1.jpg", "2.jpg", "1.jpg", "4.jpg"]
    assert task.train.tolist() == [True, True, False, False] and task.test.tolist() == [False, False, True, True]
    assert task.scores.tolist() == [0.1, 0.2, 0.3, 0.4] and task.categories is None


def test_only_the_categories_of_the_test_table_matter(tmp_path):
    train = table(tmp_path / "a", "t.csv", ["1.jpg,0.1", "2.jpg,0.2"])
    test = table(tmp_path / "b", "t.csv", ["3.jpg,0.3,x", "4.jpg,0.4,y"], "image,score,category")
    assert load_task(train, test, None, None).categories == ["", "", "x", "y"]
    assert load_task(test, train, None, None).categories is None


def test_differences_are_fitted_within_the_categories_of_the_table_that_fits(tmp_path):
    plain = table(tmp_path / "a", "t.csv", ["1.jpg,0.1", "2.jpg,0.2"])
    named = table(tmp_path / "b", "t.csv", ["3.jpg,0.3,x", "4.jpg,0.4,y"], "image,score,category")
    assert load_task(named, plain, None, None, within=True).groups.tolist() == ["x", "y", "", ""]
    assert load_task(named, plain, None, None).groups is None
    with pytest.raises(UserError, match=r"--within-categories: .*a.t\.csv has no column category; add one, or leave"):
        load_task(plain, named, None, None, within=True)
    rows = ["1.jpg,0.1,x,train", "2.jpg,0.2,y,val", "3.jpg,0.3,z,test", "4.jpg,0.5,y,test"]
    task = load_task(table(tmp_path / "c", "t.csv", rows, "image,score,category,split"), None, None, None, within=True)
    assert task.groups.tolist() == ["x", "z", "y"]
    rows = ["5.jpg,0.1,x", "6.jpg,0.2,y", "7.jpg,0.3,x"]
    task = load_task(table(tmp_path / "d", "t.csv", rows, "image,score,category"), None, None, None, within=True)
    assert keep_rows(task, np.array([True, False, True])).groups.tolist() == ["x", "x"]


def test_an_image_to_fit_and_to_test_on_is_refused(tmp_path):
    train = table(tmp_path / "a", "t.csv", ["1.jpg,0.1", "2.jpg,0.2"])
    test = table(tmp_path, "t.csv", ["3.jpg,0.3"])
    Path(test).write_text("image,score\n3.jpg,0.3\na/../a/2.jpg,0.4\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"1 images are in .*t.csv too \(.*2.jpg\)"):
        load_task(train, test, None, None)


def test_a_split_column_decides_without_folds(tmp_path, capsys):
    rows = ["1.jpg,0.1,train", "2.jpg,0.2,test", "3.jpg,0.3,val", "4.jpg,0.4,train"]
    path = table(tmp_path, "t.csv", rows, "image,score,split")
    task = load_task(path, None, None, None)
    assert names(task.paths) == ["1.jpg", "2.jpg", "4.jpg"]
    assert task.train.tolist() == [True, False, True] and task.test.tolist() == [False, True, False]
    assert f"{path}: 1 of 4 rows are left out, since their split is neither train nor test\n" in capsys.readouterr().err
    asked = load_task(path, None, 2, None)
    assert len(asked.paths) == 4 and asked.test is None
    assert capsys.readouterr().err == ""  # the folds were asked for


def test_a_split_in_capitals_is_the_same_split(tmp_path):
    path = table(tmp_path, "t.csv", ["1.jpg,0.1,Train", "2.jpg,0.2,TEST", "3.jpg,0.3,Val"], "image,score,split")
    task = load_task(path, None, None, None)
    assert names(task.paths) == ["1.jpg", "2.jpg"] and task.test.tolist() == [False, True]


@pytest.mark.parametrize("name", ["train", "test", "validation"])
def test_a_split_column_without_both_train_and_test_means_cross_validation(tmp_path, capsys, name):
    path = table(tmp_path, "t.csv", [f"1.jpg,0.1,{name}", f"2.jpg,0.2,{name}"], "image,score,split")
    task = load_task(path, None, None, None)
    assert task.test is None and task.train.all() and len(task.paths) == 2
    assert capsys.readouterr().err.endswith("the column split has not both train and test, so all rows are cross-validated\n")


def test_nothing_is_said_of_a_split_column_that_is_used_whole(tmp_path, capsys):
    load_task(table(tmp_path, "t.csv", ["1.jpg,0.1,train", "2.jpg,0.2,test"], "image,score,split"), None, None, None)
    load_task(table(tmp_path, "plain.csv", ["1.jpg,0.1", "2.jpg,0.2"]), None, None, None)
    assert capsys.readouterr().err == ""


def test_folds_beside_a_test_table_are_a_mistake(tmp_path):
    train = table(tmp_path / "a", "t.csv", ["1.jpg,0.1", "2.jpg,0.2"])
    with pytest.raises(UserError, match="--folds and --test"):
        load_task(train, train, 5, None)


def test_the_score_range_maps_both_tables(tmp_path):
    train = table(tmp_path / "a", "t.csv", ["1.jpg,1", "2.jpg,5"])
    test = table(tmp_path / "b", "t.csv", ["1.jpg,2", "2.jpg,3"])
    assert load_task(train, test, None, (1, 5)).scores.tolist() == [0, 1, 0.25, 0.5]


def test_unreadable_rows_leave_every_column(tmp_path):
    rows = [f"{i}.jpg,0.{i},{c},{s}" for i, c, s in [(1, "x", "train"), (2, "y", "train"), (3, "x", "train"),
                                                    (4, "y", "test"), (5, "x", "test")]]  # fmt: skip
    task = load_task(table(tmp_path, "t.csv", rows, "image,score,category,split"), None, None, None)
    kept = keep_rows(task, np.array([True, False, True, True, True]))
    assert names(kept.paths) == ["1.jpg", "3.jpg", "4.jpg", "5.jpg"] and kept.scores.tolist() == [0.1, 0.3, 0.4, 0.5]
    assert kept.categories == ["x", "x", "y", "x"] and kept.train.tolist() == [True, True, False, False]
    with pytest.raises(UserError, match="fewer than 2 readable"):
        keep_rows(task, np.array([True, True, True, False, True]))
