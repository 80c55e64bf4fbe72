"""Products of bfloat16 on a processor without units for it: rounded once, in the gradient too, and never torch's slow ones."""

import pytest
import torch
import torch.nn.functional as F
from torch.utils._python_dispatch import TorchDispatchMode

from clicv2lite.bench.step import ready
from clicv2lite.device import autocast
from clicv2lite.learners import METHODS
from clicv2lite.pretrain import products
from clicv2lite.pretrain.engine import plain_attention, train_step
from clicv2lite.pretrain.optim import make_optimizer
from clicv2lite.pretrain.products import PRODUCTS, WideProducts, bfloat16_products
from clicv2lite.recipes.library import get_recipe

CPU, HALF = torch.device("cpu"), torch.bfloat16


class Slow(TorchDispatchMode):
    """Counts the products that reach torch in bfloat16."""

    count = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        half = any(isinstance(x, torch.Tensor) and x.dtype == HALF for x in args)
        self.count += func.overloadpacket in PRODUCTS and half
        return func(*args, **(kwargs or {}))


@pytest.fixture
def no_units(monkeypatch):
    monkeypatch.setattr(products, "has_fast_bfloat16", lambda device: False)
    monkeypatch.setattr("clicv2lite.device.has_fast_bfloat16", lambda device: False)


def random(*shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape))).to(HALF)


def exact(values):
    """Rounded once from float64; to float32 first, as sums are kept in it."""
    return values.float().to(HALF)


OPERATIONS = {
    "mm": lambda a, b, c: (a @ b, a.double() @ b.double()),
    "addmm": lambda a, b, c: (F.linear(a, b.T, c[0]), a.double() @ b.double() + c[0].double()),
    "bmm": lambda a, b, c: (a[None] @ b[None], a.double()[None] @ b.double()[None]),
    "baddbmm": lambda a, b, c: (torch.baddbmm(c[None], a[None], b[None]), (c.double() + a.double() @ b.double())[None]),
    "mv": lambda a, b, c: (a @ b[:, 0], a.double() @ b[:, 0].double()),
    "dot": lambda a, b, c: (a[0] @ b[:, 0], a[0].double() @ b[:, 0].double()),
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_product_is_the_exact_one_rounded_once(name):
    a, b, c = random(30, 200), random(200, 40), random(30, 40)
    with WideProducts():
        got, want = OPERATIONS[name](a, b, c)
    assert got.dtype == HALF and got.shape == want.shape
    # a sum that lies at a border between two bfloat16 numbers may go either way
    assert (got == exact(want)).float().mean() > 0.99
    torch.testing.assert_close(got.double(), want, rtol=2**-8, atol=1e-4)


def test_a_convolution_and_its_gradients_are_those_of_float64():
    image, weight = random(2, 3, 9, 9).requires_grad_(), random(4, 3, 3, 3).requires_grad_()
    with WideProducts():
        F.conv2d(image, weight, stride=2).square().sum().backward()
    i, w = (x.detach().double().requires_grad_() for x in (image, weight))
    F.conv2d(i, w, stride=2).square().sum().backward()
    for got, want in ((image.grad, i.grad), (weight.grad, w.grad)):
        assert got.dtype == HALF
        torch.testing.assert_close(got.double(), want, rtol=0.03, atol=0.2)


def test_float32_and_whole_numbers_are_left_alone():
    a = torch.arange(6.0).reshape(2, 3)
    with WideProducts():
        assert (a @ a.T).dtype == torch.float32 and torch.equal(a @ a.T, torch.tensor([[5.0, 14.0], [14.0, 50.0]]))
        assert (a.long() @ a.long().T).dtype == torch.int64


@pytest.mark.parametrize(
    "settings",
    [[], ["micro=2"], ["checkpointing=true"], ["method=moco"], ["method=clic", "backbone=resnet-lite", "size=64"]],
    ids=" ".join,
)
def test_no_slow_product_is_left_in_a_step(settings, no_units):
    recipe = get_recipe("ci", ["batch=4", "precision=bf16", *settings])
    found = []
    for compiled in (True, False):  # code that torch.compile would have made is left alone: the slow products themselves
        torch.manual_seed(0)
        model = METHODS[recipe.method].build(recipe.model, recipe.learner)
        plain_attention(model)
        with Slow() as slow, pytest.MonkeyPatch.context() as patch:
            if compiled:
                patch.setattr("clicv2lite.pretrain.engine.bfloat16_products", lambda *a: bfloat16_products(CPU, "bf16", True))
            output, norm = train_step(model, make_optimizer(model, recipe), ready(recipe), recipe)
        assert bool(slow.count) is compiled
        found.append((float(output.total), norm))
    assert found[0] == pytest.approx(found[1], rel=0.02)


@pytest.mark.parametrize(
    ("precision", "compiled", "wide"), [("bf16", False, True), ("bf16", True, False), ("auto", False, False)]
)
def test_only_where_products_would_be_slow(precision, compiled, wide, no_units):
    assert isinstance(bfloat16_products(CPU, precision, compiled), WideProducts) is wide


def test_units_are_used_where_there_are_some(monkeypatch):
    monkeypatch.setattr(products, "has_fast_bfloat16", lambda device: True)
    assert not isinstance(bfloat16_products(CPU, "bf16"), WideProducts)
    assert not isinstance(bfloat16_products(torch.device("cuda"), "bf16"), WideProducts)


def test_under_autocast_a_layer_gives_bfloat16_all_the_same(no_units):
    layer, x = torch.nn.Linear(8, 4), torch.randn(3, 8)
    with bfloat16_products(CPU, "bf16"), autocast(CPU, "bf16"):
        y = layer(x)
        y.sum().backward()
    assert y.dtype == HALF and layer.weight.grad.dtype == torch.float32
