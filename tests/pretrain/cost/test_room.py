import os

import pytest
import torch

from clicv2lite.errors import UserError
from clicv2lite.pretrain.cost import room
from clicv2lite.pretrain.cost.budget import memory
from clicv2lite.pretrain.cost.hardware import held_memory
from clicv2lite.pretrain.cost.room import check_memory
from clicv2lite.recipes.library import get_recipe

CPU = torch.device("cpu")


@pytest.mark.parametrize("settings", [
    ["width=16384", "depth=256", "heads=4"], ["batch=1000000", "micro=1000000", "width=256"],
    ["decoder_width=16384", "decoder_depth=256"],
    ["size=8192", "patch=32", "width=1024", "batch=100000"],
])  # fmt: skip
def test_what_no_memory_holds_is_refused_in_one_line(settings, monkeypatch):
    monkeypatch.setattr(room, "held_memory", lambda device: 64 * 2**30)
    with pytest.raises(
        UserError, match=r"--recipe ci: .* needs about [0-9,]+ GB of memory, and this machine has 69 GB"
    ) as caught:
        check_memory(get_recipe("ci", settings), CPU)
    assert "\n" not in str(caught.value)


def test_what_fits_is_not_refused():
    check_memory(get_recipe("ci"), CPU)


def test_a_rank_never_holds_more_than_its_share(monkeypatch):
    recipe = get_recipe("vit-l16", ["batch=8"])
    assert recipe.micro > 8
    needed = sum(memory(recipe, 1, 8, False).values())
    monkeypatch.setattr(room, "held_memory", lambda device: needed)
    check_memory(recipe, CPU)


def test_a_machines_memory_is_what_its_system_says():
    assert held_memory(CPU) == os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def test_weights_alone_need_less(monkeypatch):
    monkeypatch.setattr(room, "held_memory", lambda device: 3 * 10**9)
    check_memory(get_recipe("vit-b32"), CPU, training=False)
    with pytest.raises(UserError):
        check_memory(get_recipe("vit-b32"), CPU)
