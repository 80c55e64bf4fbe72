"""The benchmark compares operations that do the same, and reports ratios."""

import json
import time

import pytest
import torch

from clicv2lite.bench import inputs, loss, measure, memory, operators, parts, step
from clicv2lite.cli import main
from clicv2lite.method.entropy import patch_entropy
from clicv2lite.method.patches import shift
from clicv2lite.recipes.library import get_recipe


@pytest.fixture(autouse=True)
def small(monkeypatch):
    monkeypatch.setattr(parts, "PATCHES", 64)
    monkeypatch.setattr(loss, "QUERIES", (3, 5, 8))
    monkeypatch.setattr(loss, "LARGE", {300: 40, 500: 30})
    monkeypatch.setattr(step, "SETTINGS", ["batch=2", "depth=1", "decoder_depth=1", "pool_blocks=0"])
    monkeypatch.setattr(inputs, "IMAGES", 4)
    monkeypatch.setattr(measure, "MIN_SECONDS", 0.01)
    monkeypatch.setattr(measure, "CALL_SECONDS", 0.001)


def test_the_loops_do_what_the_vectorised_forms_do():
    patches, offset = torch.rand(64, 3, 16, 16), parts.random_offsets()
    assert torch.equal(parts.shift_loop(patches, offset), shift(patches, offset))
    torch.testing.assert_close(parts.entropy_loop(patches), patch_entropy(patches), atol=0.02, rtol=0)  # bin edges round


def test_all_forms_of_the_loss_give_the_same_value_and_gradient():
    q, k = loss.features(40, 300, 16)
    found = {name: loss.both(form, q) for name, form in loss.forms(k).items()}
    value, gradient = found["dense"]
    assert set(found) >= {"infonce", "tiles", "dense"} and gradient.abs().max() > 0
    for other, other_gradient in found.values():
        torch.testing.assert_close(other, value, atol=2e-6, rtol=0)
        torch.testing.assert_close(other_gradient, gradient, atol=2e-6, rtol=0)


def test_every_operation_takes_its_turn_in_every_round():
    calls = []
    seconds = measure.rounds({name: lambda n=name: (calls.append(n), time.sleep(0.002)) for name in "abc"})
    assert len({len(times) for times in seconds.values()}) == 1 and len(seconds["a"]) >= measure.MIN_ROUNDS
    measured = calls[3:]  # after one call of each to warm up
    assert all(set(measured[i : i + 3]) == set("abc") for i in range(0, len(measured), 3))
    assert {measured[i] for i in range(0, 9, 3)} == set("abc")


def test_each_of_many_operations_goes_first_in_some_round(monkeypatch):
    monkeypatch.setattr(measure, "MIN_SECONDS", 0)
    calls, names = [], "abcdefg"
    measure.rounds({name: lambda n=name: (calls.append(n), time.sleep(0.002)) for name in names})
    assert {calls[i] for i in range(len(names), len(calls), len(names))} == set(names)


def test_ratios_are_taken_within_rounds():
    timing = measure.timing_of("x", [1.0, 10.0, 2.0], {"twice": [2.0, 20.0, 4.0], "half": [0.5, 5.0, 1.0]}, floor="half")
    assert timing.ratios == {"twice": 2.0, "half": 0.5} and timing.over_floor == 2.0 and timing.seconds == 2.0


def test_the_floor_trains_the_same_weights_as_the_step():
    recipe = get_recipe("ci")
    model = step.CLICv2(recipe.model)
    before = {name: p.detach().clone() for name, p in model.named_parameters()}
    step.floor(model, step.views_of(step.ready(recipe), recipe, torch.device("cpu")), recipe, products=True)()
    moved = {name for name, p in model.named_parameters() if not p.equal(before[name])}
    assert moved and {name for name, p in model.named_parameters() if p.requires_grad and p.grad is None} == set()
    assert not any(name.startswith("key") for name in moved)


def test_utilisation_is_operations_a_second():
    recipe = get_recipe("ci")
    once, twice = (float(step.utilisation(recipe, s, "a card").split()[0]) for s in (1e-6, 2e-6))
    assert once == pytest.approx(2 * twice, rel=0.01)
    assert "of the peak" in step.utilisation(recipe, 1e-3, "NVIDIA H100 80GB HBM3")


def test_a_step_on_a_gpu_names_the_card(monkeypatch):
    monkeypatch.setattr(step.torch.cuda, "get_device_name", lambda where: "NVIDIA H100 80GB HBM3")
    monkeypatch.setattr(step.CLICv2, "to", lambda model, where: model)
    monkeypatch.setattr(step, "views_of", lambda batch, recipe, where: None)
    monkeypatch.setattr(step, "floor", lambda *given: None)
    monkeypatch.setattr(step, "rounds", lambda operations: {key: [2.0] for key in operations} | {"views": [1.0]})
    found = step.step_timing(get_recipe("ci"), torch.device("cuda"))
    assert found.name.endswith(", recipe ci, NVIDIA H100 80GB HBM3") and "of the peak" in found.note
    assert found.seconds == 1.0  # of 2, without the views


def test_the_profile_knows_what_was_multiplied():
    matrix = torch.rand(700, 700)
    shares = operators.shares_of(lambda: torch.nn.functional.gelu(matrix @ matrix))
    assert next(iter(shares)) == "matrix products" and shares["matrix products"] > 0.7
    assert 0 < shares["activations and softmax"] < 0.3 and sum(shares.values()) == pytest.approx(1)


def test_memory_in_tensors_and_of_the_process_agree():
    peak = memory.measure_apart("dense", 6000, 1000)
    assert peak.counted >= 2 * 4 * 6000 * 1000  # logits and their gradient
    kept = 2**27  # by libraries, for themselves
    assert peak.resident is None or 0.5 * peak.counted < peak.resident < 2 * peak.counted + kept


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["foo", "10", "10"], "--one foo 10 10: there is no form foo; give one of infonce, tiles, dense"),
        (["infonce", "x", "10"], "--one infonce x 10: each query has a key of its own; give whole numbers"),
        (["infonce", "10", "20"], "--one infonce 10 20: each query has a key of its own; give whole numbers"),
        (["infonce", "10", "0"], "--one infonce 10 0: each query has"),
        (["infonce", "10", "10", "--json", "F.json"], "--json F.json: --one prints its result; leave one of them out"),
    ],
)
def test_mistakes_of_bench_memory_are_one_line(tmp_path, monkeypatch, capsys, words, said):
    monkeypatch.chdir(tmp_path)
    assert main(["bench-memory", "--one", *words]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"clicv2lite: {said}") and not list(tmp_path.iterdir())


def test_bench_writes_ratios_with_their_machine(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "measure_apart", memory.measure)  # the test above starts a process
    assert main(["bench", "--json", str(tmp_path / "bench.json")]) == 0
    result = json.loads((tmp_path / "bench.json").read_text())
    assert [set(t["ratios"]) for t in result["timings"]] == [
        {"per_patch_loop", "memory_copy"}, {"per_patch_loop", "memory_copy"}, {"dense"}
    ]  # fmt: skip
    assert all(timing["over_floor"] > 0 for section in ("loss", "step") for timing in result[section])
    assert [peak["keys"] for peak in result["memory"]] == [300, 300, 500, 500]
    assert result["input"][0]["ratios"]["pillow_and_torchvision"] > 0
    assert sum(result["operators"].values()) == pytest.approx(1) and len(result["operators"]) == len(operators.KINDS) + 1
    assert result["hardware"] and result["command"].startswith("clicv2lite")
    printed = capsys.readouterr().out
    assert "shift of 64 patches" in printed and "target: at most 1.30" in printed
