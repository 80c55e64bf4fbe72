"""The check of an exercise says what is wrong, and only when something is."""

import importlib
import pkgutil
import re

import numpy as np
import pytest
import torch

import clicv2lite.exercises
from clicv2lite.exercises import pretraining, shift_study, token_similarity
from clicv2lite.exercises.exercise import Exercise

double = Exercise(
    lambda x: 2 * x + 1,
    lambda g: (torch.rand(3, 4, generator=g),),
    {"the 1 is missing": lambda x: 2 * x},
    where="a.b",
)


def all_exercises():
    for info in pkgutil.iter_modules(clicv2lite.exercises.__path__, "clicv2lite.exercises."):
        for name, value in vars(importlib.import_module(info.name)).items():
            if isinstance(value, Exercise) and not name.startswith("_"):
                yield pytest.param(value, id=f"{info.name.rsplit('.', 1)[1]}.{name}")


@pytest.mark.parametrize("exercise", list(all_exercises()))
def test_reference_is_right_and_every_mistake_is_named(exercise):
    for seed in range(3):
        if exercise.inputs is None:
            assert exercise.check(exercise.reference(), seed)
        else:
            verdict = exercise.check(lambda *x: exercise.reference(*x), seed)
            assert verdict, verdict
    for text, wrong in exercise.mistakes.items():
        answer = wrong() if exercise.inputs is None else lambda *x, wrong=wrong: wrong(*x)
        verdict = exercise.check(answer, seed=0)
        assert not verdict and verdict.text == text


@pytest.mark.parametrize("exercise", [pretraining.chance, shift_study.sign_flips])
def test_wrong_answer_that_is_often_right_by_chance_is_refused(exercise):
    for wrong in exercise.mistakes.values():
        assert not any(exercise.check(lambda *x, wrong=wrong: wrong(*x), seed) for seed in range(100))


def test_right_mean_by_the_matrix_of_all_pairs_is_refused_and_by_rows_or_the_sum_is_not():
    def by_matrix(tokens):
        unit = torch.nn.functional.normalize(tokens, dim=-1)
        return ((unit @ unit.T).sum(1) - 1) / (len(unit) - 1)

    def by_sum(tokens):
        unit = tokens / tokens.norm(dim=1, keepdim=True)
        return (unit @ unit.sum(0) - 1) / (len(unit) - 1)

    def by_rows(tokens):
        unit = torch.nn.functional.normalize(tokens, dim=-1)
        return torch.stack([((unit @ row).sum() - 1) / (len(unit) - 1) for row in unit])

    for seed in range(3):
        verdict = token_similarity.mean_cosines.check(by_matrix, seed)
        assert not verdict and "numbers are right" in verdict.text and "bytes" in verdict.text
        for answer in (by_sum, by_rows):
            verdict = token_similarity.mean_cosines.check(answer, seed)
            assert verdict, verdict


def stub(x):
    y = 2 * x
    ...  # your turn
    return y


def stub_within(x):
    y = double.reference(...)  # your turn
    return y


def answer_with_the_comment_left_in(x):
    y = 2 * x[..., :] + 1  # your turn
    return y


def test_right_answer_may_keep_the_comment_of_the_stub():
    verdict = double.check(answer_with_the_comment_left_in)
    assert verdict, verdict


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (lambda x: x * 2, "the 1 is missing"),
        (lambda x: -(2 * x + 1), "the sign is wrong"),
        (lambda x: 3 * (2 * x + 1), "3 times"),
        (lambda x: 2 * x + 1.5, r"off by \+0.5"),
        (lambda x: (2 * x + 1).T, r"shape is \(4, 3\), expected \(3, 4\), turned around"),
        (lambda x: (2 * x + 1).sum(), r"shape is \(\), expected \(3, 4\)"),
        (lambda x: None, "returns nothing"),
        (lambda x: "text", "returns str"),
        (lambda x: (2 * x + 1, x), "returns 2 values, expected 1"),
        (lambda x: (2 * x + 1) / 0 * 0, "NaN"),
        (lambda x: x.add_(1), "in place"),
        (lambda x: x @ x, "raised RuntimeError"),
        (lambda x: torch.rand(3, 4) + 5, "where .* is right"),
        (stub, "your turn"),
        (stub_within, "your turn"),
        (None, "no answer yet"),
        (..., "no answer yet"),
        (3.0, "the function itself"),
    ],
)
def test_wrong_answer_is_told_what_is_wrong(answer, said):
    verdict = double.check(answer)
    assert not verdict
    assert repr(verdict).startswith("Not yet: ")
    assert re.search(said, verdict.text), verdict.text


def test_right_answer_may_be_of_another_library_or_precision():
    for answer in (
        lambda x: 2 * x.numpy() + 1,
        lambda x: (2 * x + 1).double(),
        lambda x: np.array([[2 * float(v) + 1 for v in row] for row in x]),
        lambda x: [[2 * float(v) + 1 for v in row] for row in x],
    ):
        verdict = double.check(answer)
        assert verdict
        assert repr(verdict) == "Right: agrees with a.b on 5 random inputs"


def test_several_values_may_come_in_a_list_and_an_array_as_a_tuple():
    both = Exercise(lambda x: (x.mean(), x.var()), lambda g: (torch.rand(5, generator=g),))
    one = Exercise(lambda x: torch.stack([x.mean(), x.var()]), lambda g: (torch.rand(5, generator=g),))
    for wanted in (both, one):
        for form in (tuple, list):
            verdict = wanted.check(lambda x, form=form: form((x.mean(), x.var())))
            assert verdict, verdict
            assert not wanted.check(lambda x, form=form: form((x.var(), x.mean())))


def test_number_to_find_is_compared_with_its_tolerance():
    third = Exercise(lambda: 1 / 3, tolerance=0.01, mistakes={"upside down": lambda: 3.0}, where="a.b")
    assert third.check(0.333)
    assert not third.check(0.3)
    assert third.check(3).text == "upside down"


def test_inputs_are_fresh_at_each_check_and_the_same_for_one_seed():
    seen = []
    exercise = Exercise(lambda x: x, lambda g: (torch.rand(2, generator=g),))

    def remember(x):
        seen.append(x)
        return x

    for seed in (None, None, 7, 7):
        assert exercise.check(remember, seed)
    first, second, third, fourth = seen[::5]
    assert not torch.equal(first, second)
    assert torch.equal(third, fourth)
