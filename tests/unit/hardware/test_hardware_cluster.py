"""The plan section's overrides, and what a cluster has."""

from typing import Any

import pytest

from ray_ft.config import PlanConfig
from ray_ft.errors import ConfigError
from ray_ft.hardware import GIB, group_nodes, hardware_for, placement_among


def test_the_plan_section_overrides_the_catalogue() -> None:
    plan = PlanConfig(gpu="A100-80GB", num_gpus=16, gpus_per_node=4, host_memory_gib=100, price_per_hour=1.5)
    found = hardware_for(plan)
    assert (found.num_gpus, found.gpus_per_node, found.price_per_hour) == (16, 4, 1.5)
    assert found.host_memory_bytes == 100 * GIB


def test_a_node_has_eight_gpus_at_most_and_host_memory_for_each() -> None:
    found = hardware_for(PlanConfig(gpu="A100-80GB", num_gpus=16))
    assert found.gpus_per_node == 8
    assert found.host_memory_bytes == 8 * 144 * GIB


def test_on_cpu_the_hosts_memory_is_the_memory() -> None:
    found = hardware_for(PlanConfig(gpu="cpu", host_memory_gib=32))
    assert found.is_cpu
    assert found.memory_bytes == found.host_memory_bytes == 32 * GIB


def _node(name: str, **resources: float) -> dict[str, Any]:
    return {"NodeID": name, "Alive": True, "Resources": {"CPU": 16.0, "memory": 64.0 * GIB, **resources}}


def test_a_mixed_cluster_is_grouped_by_kind_with_the_strongest_first() -> None:
    nodes = [
        _node("a", GPU=1.0, **{"accelerator_type:T4": 1.0}),
        _node("b", GPU=4.0, **{"accelerator_type:A100": 1.0}),
        _node("c", GPU=8.0, **{"accelerator_type:A100": 1.0}),
        _node("head"),
    ]
    # The driver tells 40 from 80 GB, which Ray's label does not.
    kinds = group_nodes(nodes, {"b": ("NVIDIA A100-SXM4-40GB", 40960), "c": ("NVIDIA A100-SXM4-40GB", 40960)})
    assert [(k.gpu, k.num_gpus, k.gpus_per_node) for k in kinds] == [("A100-40GB", 12, 4), ("T4", 1, 1)]
    assert kinds[0].host_memory_bytes == 64 * GIB


def test_a_cluster_without_gpus_has_no_kinds() -> None:
    assert group_nodes([_node("head")], {}) == []


def test_an_unknown_gpu_in_the_cluster_asks_for_plan_gpu() -> None:
    with pytest.raises(ConfigError, match=r"the cluster has a GPU named 'Gaudi3'; set plan\.gpu"):
        group_nodes([_node("a", GPU=8.0, **{"accelerator_type:Gaudi3": 1.0})], {})


def test_gpus_that_others_hold_are_told_from_free_ones() -> None:
    nodes = [_node("a", GPU=4.0, **{"accelerator_type:L4": 1.0}), _node("b", GPU=4.0, **{"accelerator_type:L4": 1.0})]
    (kind,) = group_nodes(nodes, {}, free={"a": 1.0})
    assert (kind.num_gpus, kind.num_free) == (8, 1)


T4, L4 = _node("t", GPU=1.0, **{"accelerator_type:T4": 1.0}), _node("l", GPU=4.0, **{"accelerator_type:L4": 1.0})
A100_40, A100_80 = (_node(name, GPU=8.0, **{"accelerator_type:A100": 1.0}) for name in ("forty", "eighty"))
DRIVERS = {"forty": ("NVIDIA A100-SXM4-40GB", 40960.0), "eighty": ("NVIDIA A100-SXM4-80GB", 81920.0)}
HEAD = _node("head")
UNKNOWN = _node("a", GPU=1.0, **{"accelerator_type:Gaudi3": 1.0})


@pytest.mark.parametrize(
    ("nodes", "gpu", "expected"),
    [
        ([HEAD, T4, L4], "L4", {"accelerator_type": "L4"}),
        ([HEAD, L4], "L4", {"accelerator_type": "L4"}),
        # Ray's label is the same for both sizes, so the nodes themselves are named.
        ([HEAD, A100_40, A100_80], "A100-80GB", {"label_selector": {"ray.io/node-id": "in(eighty)"}}),
        ([HEAD, A100_40, A100_80, T4], "T4", {"accelerator_type": "T4"}),
        ([HEAD, T4], "A100-80GB", {"accelerator_type": "A100"}),  # a cluster that grows brings what is asked for
        ([HEAD], "H100-80GB", {}),
        ([UNKNOWN, T4], "L4", {"accelerator_type": "Gaudi3"}),  # what the catalogue does not know is what plan.gpu says
        ([_node("a", GPU=1.0)], "L4", {}),
        ([_node("a", GPU=1.0), T4], "L4", {"label_selector": {"ray.io/node-id": "in(a)"}}),
    ],
)
def test_workers_are_placed_on_the_kind_that_the_plan_names(
    nodes: list[dict[str, Any]], gpu: str, expected: dict[str, Any]
) -> None:
    assert placement_among(nodes, DRIVERS, gpu=gpu) == expected


def test_a_machine_with_another_kind_than_the_plan_s_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"plan\.gpu: the plan is for A100-80GB and this machine has A100-40GB; name"):
        placement_among([A100_40], DRIVERS, gpu="A100-80GB")
