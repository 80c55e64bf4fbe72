"""The check of an exercise: it compares the reader's function with the package's own on random inputs (every chapter)."""

import copy
import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import torch
from torch import Tensor

from clicv2lite.pretrain.cost.peak import peak_bytes

MARK = "# your turn"  # marks the lines of a stub that the reader must replace
STUB = re.compile(rf"\.\.\.\)?\s*{MARK}")  # its dots are still there: a reader may leave the comment in


@dataclass(frozen=True)
class Verdict:
    """The result of a check: true if the answer is right. It is shown as its text."""

    right: bool
    text: str

    def __bool__(self) -> bool:
        return self.right

    def __repr__(self) -> str:
        return f"{'Right' if self.right else 'Not yet'}: {self.text}"


@dataclass(frozen=True)
class Exercise:
    """A function to write (or a number to find), its reference, and common mistakes.

    Args:
        reference: the package's own function, or a few lines around it. Without ``inputs`` it takes no argument and returns the
            number to find.
        inputs: random generator -> the arguments of one trial. A list counts as one argument.
        mistakes: message -> the function with that mistake. If an answer agrees with such a function, the reader gets the
            message.
        where: name of the reference for the reader. Default: the name of the function.
        tolerance: largest difference from the reference, relative to its largest absolute value (at least 1).
        trials: number of random inputs per check.
        memory: the arguments of a trial -> the most bytes that the tensors of an answer may take at the same time. None: any.
    """

    reference: Callable[..., Any]
    inputs: Callable[[torch.Generator], tuple[Any, ...]] | None = None
    mistakes: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    where: str = ""
    tolerance: float = 1e-4
    trials: int = 5
    memory: Callable[..., int] | None = None

    @property
    def source(self) -> str:
        """Where the reader finds the reference, for example ``clicv2lite.method.patches.shift``."""
        return self.where or f"{self.reference.__module__}.{self.reference.__qualname__}"

    def check(self, answer: Any, seed: int | None = None) -> Verdict:
        """Compare an answer with the reference.

        Args:
            answer: the reader's function, or the reader's number if the exercise has no inputs.
            seed: seed of the inputs; None draws new inputs at each call.

        Returns:
            The verdict. It is right, or it says what is wrong, as specifically as possible: not written yet, an exception, a
            changed input, a known mistake, the shape, the sign, a factor, a constant difference, too much memory.
        """
        if answer is None or answer is ...:
            return Verdict(False, "there is no answer yet; replace the dots in the cell above, run it, and then this one")
        if self.inputs is None:
            return self._compare([((), answer)])
        if not callable(answer):
            return Verdict(False, f"give the function itself, not {type(answer).__name__}: check(f), without brackets after f")
        if STUB.search(_source(answer)):
            return Verdict(False, f"fill in what is marked “{MARK}”, run that cell, and then this one")
        generator = torch.Generator()
        generator.seed() if seed is None else generator.manual_seed(seed)
        trials = []
        for _ in range(self.trials):
            given = self.inputs(generator)
            mine = copy.deepcopy(given)
            try:
                trials.append((given, answer(*mine)))
            except Exception as error:  # show whatever the reader's code raises in one line
                return Verdict(False, f"it raised {type(error).__name__}: {error} ({_shapes(given)})")
            if not all(_same(a, b, 0) for a, b in zip(given, mine, strict=True)):
                return Verdict(False, "it changes its input in place; work on a copy (x.clone())")
        verdict = self._compare(trials)
        if verdict and self.memory and (took := peak_bytes(partial(answer, *mine))) > (most := self.memory(*given)):
            text = f"the numbers are right, but its tensors take {took:,} bytes at the same time; at most {most:,} are allowed"
            return Verdict(False, f"{text} ({_shapes(given)})")
        return verdict

    def _compare(self, trials: list[tuple[tuple[Any, ...], Any]]) -> Verdict:
        known = [(given, got, self.reference(*copy.deepcopy(given))) for given, got in trials]
        rows = [(given, _as(want, got), want) for given, got, want in known]
        if all(_same(got, want, self.tolerance) for _, got, want in rows):
            many = f" on {len(rows)} random inputs" if self.inputs else ""
            return Verdict(True, f"agrees with {self.source}{many}")
        for text, wrong in self.mistakes.items():
            if all(_same(got, wrong(*copy.deepcopy(given)), self.tolerance) for given, got, _ in rows):
                return Verdict(False, text)
        for given, got, want in rows:
            if (fault := _form(got, want)) is not None:
                return Verdict(False, fault + (f" ({_shapes(given)})" if given else ""))
        return Verdict(False, _difference([(_flat(got), _flat(want)) for _, got, want in rows], self.tolerance))


def _source(answer: Callable[..., Any]) -> str:
    try:
        return inspect.getsource(answer)
    except (OSError, TypeError):  # a built-in, a partial: nothing to read
        return ""


def _parts(value: Any) -> list[Tensor] | None:
    """A value as tensors (float64 if they are real numbers); None if it cannot be converted."""
    values = list(value) if isinstance(value, tuple) else [value]
    try:
        parts = [torch.as_tensor(np.asarray(v) if isinstance(v, list) else v).detach().cpu() for v in values]
    except (TypeError, ValueError, RuntimeError):
        return None
    return [part if part.is_complex() else part.double() for part in parts]


def _as(want: Any, got: Any) -> Any:
    """An answer as the reference has it: several values may come in a list, and an array as a tuple of its numbers."""
    if isinstance(got, list) and isinstance(want, tuple):
        return tuple(got)
    if isinstance(got, tuple) and not isinstance(want, tuple) and np.shape(want) == (len(got),):
        return list(got)
    return got


def _form(got: Any, want: Any) -> str | None:
    """What is wrong with the form of an answer (not with its numbers): a sentence, or None."""
    if got is None or got is ...:
        return "it returns nothing; is there a `return` at its end?"
    mine, right = _parts(got), _parts(want)
    assert right is not None, "a reference returns numbers"
    if mine is None:
        return f"it returns {type(got).__name__}, not a number or a tensor"
    if len(mine) != len(right):
        return f"it returns {len(mine)} {'value' if len(mine) == 1 else 'values'}, expected {len(right)}"
    for a, b in zip(mine, right, strict=True):
        if a.shape != b.shape:
            turned = ", turned around" if a.shape == b.shape[::-1] and a.ndim > 1 else ""
            return f"its shape is {tuple(a.shape)}, expected {tuple(b.shape)}{turned}"
        if not torch.isfinite(a[torch.isfinite(b)]).all():
            return "it holds NaN or infinity where the right answer is finite; a division by 0, or log(0)?"
    return None


def _same(a: Any, b: Any, tolerance: float) -> bool:
    left, right = _parts(a), _parts(b)
    if left is None or right is None or len(left) != len(right):
        return bool(left is None and right is None)
    return all(
        x.shape == y.shape
        and torch.allclose(x, y, rtol=0, atol=tolerance * max(1.0, float(y.abs().max()) if y.numel() else 1.0), equal_nan=True)
        for x, y in zip(left, right, strict=True)
    )


def _flat(value: Any) -> Tensor:
    parts = _parts(value)
    assert parts is not None
    return torch.cat([part.flatten() for part in parts])


def _difference(rows: list[tuple[Tensor, Tensor]], tolerance: float) -> str:
    """How answers differ from the reference, in words: by the sign, one factor, one constant, or in single values."""
    got, want = (torch.cat(side) for side in zip(*rows, strict=True))
    near = tolerance * max(1.0, float(want.abs().max()))
    if torch.allclose(got, -want, rtol=0, atol=near):
        return "the sign is wrong"
    if len(got) > 1:
        factor = float(got @ want / (want @ want)) if want.any() else 0.0
        if abs(factor) > 1e-6 and torch.allclose(got, factor * want, rtol=0, atol=near * abs(factor)):
            return f"it is {factor:.4g} times what it should be, everywhere"
        offset = float((got - want).mean())
        if torch.allclose(got - offset, want, rtol=0, atol=near):
            return f"it is off by {offset:+.4g}, everywhere"
    worst = int((got - want).abs().argmax())
    share = float(((got - want).abs() > near).double().mean())
    many = f" ({share:.0%} of the numbers differ)" if len(got) > 1 else ""
    return f"it gives {got[worst]:.4g} where {want[worst]:.4g} is right{many}"


def _shapes(given: tuple[Any, ...]) -> str:
    """The arguments of a trial in a few words."""
    words = [f"shape {tuple(x.shape)}" if isinstance(x, Tensor | np.ndarray) else repr(x)[:40] for x in given]
    return "for " + ", ".join(words)
