"""Peak memory, on computations whose peak is known by heart."""

import pytest
import torch
import torch.nn.functional as F

from clicv2lite.method.infonce import infonce, infonce_dense
from clicv2lite.pretrain.cost.peak import peak_bytes

KB = 1024  # bytes of a tensor of 256 fp32 numbers


def test_tensors_alive_at_the_same_time_add_up():
    def both():
        a, b = torch.zeros(256), torch.zeros(256)
        return a, b

    assert peak_bytes(both) == 2 * KB


def test_a_freed_tensor_makes_room():
    def one_after_the_other():
        for _ in range(5):
            a = torch.zeros(256)
            del a

    assert peak_bytes(one_after_the_other) == KB


def test_views_and_in_place_operations_cost_nothing():
    assert peak_bytes(lambda: torch.zeros(256).view(16, 16).T.add_(1)[0].mul_(2)) == KB


def test_what_was_there_before_is_not_counted():
    x = torch.zeros(100_000)
    assert peak_bytes(lambda: x[:256] + 1) == KB


def test_what_the_backward_pass_saves_stays_until_it_has_run():
    x = torch.rand(256, requires_grad=True)
    chain = lambda: x.exp().exp().exp()  # noqa: E731
    assert peak_bytes(lambda: chain()) == 3 * KB  # every exponential saves its result
    with torch.no_grad():
        y = x.detach()
    assert peak_bytes(lambda: y.exp().exp().exp()) == 2 * KB  # a result and its successor


def test_every_measurement_starts_from_zero():
    assert [peak_bytes(lambda: torch.zeros(256)) for _ in range(3)] == [KB] * 3


@pytest.mark.parametrize("n", [256, 512])
def test_dense_loss_holds_n_squared_and_the_tiled_one_does_not(n):
    generator = torch.Generator().manual_seed(0)
    q, k = (F.normalize(torch.randn(n // 8, 8, 16, generator=generator), dim=-1) for _ in range(2))
    visible = torch.arange(8).expand(n // 8, 8)

    def both(loss):
        leaf = q.clone().requires_grad_()
        loss(leaf).backward()

    dense = peak_bytes(lambda: both(lambda x: infonce_dense(x, k, visible)))
    tiled = peak_bytes(lambda: both(lambda x: infonce(x, k, visible, tile=32)))
    assert 8 * n**2 <= dense < 16 * n**2
    assert tiled < 16 * n * 16 * 4 + 8 * 32**2 * 4
