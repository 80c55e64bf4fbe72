"""How many workers a Ray gets, and what each asks for: `ray` itself is made up here."""

import sys
from types import SimpleNamespace

import pytest

from clicv2lite.errors import UserError
from clicv2lite.score.on_ray import _crew


def machines(monkeypatch, *resources):
    """A Ray of machines with these CPUs and GPUs, and one that has gone."""
    nodes = [{"Alive": True, "Resources": {"CPU": cpu, **({"GPU": gpu} if gpu else {})}} for cpu, gpu in resources]
    total = {kind: sum(node["Resources"].get(kind, 0.0) for node in nodes) for kind in ("CPU", "GPU")}
    nodes.append({"Alive": False, "Resources": {"CPU": 1.0, "GPU": 1.0}})
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(cluster_resources=lambda: total, nodes=lambda: nodes))


def test_each_gpu_has_a_worker_with_as_many_cores_as_the_poorest_machine_has_for_one(monkeypatch):
    machines(monkeypatch, (16.0, 2.0), (8.0, 2.0), (2.0, 0.0))
    assert _crew("auto", None) == _crew("cuda", None) == (4, "cuda", {"num_gpus": 1, "num_cpus": 4}, 4)
    assert _crew("auto", 3) == (3, "cuda", {"num_gpus": 1, "num_cpus": 4}, 4)
    assert _crew("cpu", None) == (26, "cpu", {"num_cpus": 1}, 1)
    machines(monkeypatch, (2.0, 4.0))
    assert _crew("auto", None) == (4, "cuda", {"num_gpus": 1, "num_cpus": 1}, 1)


def test_without_a_gpu_each_core_has_a_worker(monkeypatch):
    machines(monkeypatch, (16.0, 0.0), (8.0, 0.0))
    assert _crew("auto", None) == (24, "cpu", {"num_cpus": 1}, 1) and _crew("auto", 3)[0] == 3
    with pytest.raises(UserError, match="--device cuda: no machine of this Ray has a GPU"):
        _crew("cuda", None)
