"""Names of GPUs as people, Ray and drivers spell them, the plan section's overrides, and what a cluster has."""

from pathlib import Path
from typing import Any

import pytest

from ray_ft.config import PlanConfig
from ray_ft.errors import ConfigError
from ray_ft.hardware import GIB, GPUS, catalogue_name, group_nodes, hardware_for, packaged_prices


@pytest.mark.parametrize(
    ("spelled", "mib", "name"),
    [
        ("A100-80GB", None, "A100-80GB"),
        ("a100", None, "A100-80GB"),
        ("A100", 40960, "A100-40GB"),
        ("NVIDIA A100-SXM4-80GB", 81920, "A100-80GB"),
        ("NVIDIA A100-PCIE-40GB", 40960, "A100-40GB"),
        ("A100-80G", None, "A100-80GB"),
        ("NVIDIA H100 80GB HBM3", 81559, "H100-80GB"),
        ("NVIDIA H100 PCIe", 81559, "H100-PCIE"),
        ("NVIDIA H200", 143771, "H200"),
        ("Tesla T4", 15360, "T4"),
        ("Tesla V100-SXM2-32GB", 32768, "V100-32GB"),
        ("NVIDIA L4", 23034, "L4"),
        ("NVIDIA L40S", 46068, "L40S"),
        ("NVIDIA GeForce RTX 4090", 24564, "RTX4090"),
        ("NVIDIA RTX A6000", 49140, "RTXA6000"),
        ("NVIDIA GH200 480GB", 97871, None),
        ("Radeon Pro", None, None),
    ],
)
def test_a_gpu_is_recognised_however_it_is_spelled(spelled: str, mib: float | None, name: str | None) -> None:
    assert catalogue_name(spelled, mib) == name


@pytest.mark.parametrize("name", GPUS)
def test_every_catalogue_name_finds_itself(name: str) -> None:
    found = hardware_for(PlanConfig(gpu=name))
    assert (found.gpu, found.num_gpus) == (name, 1)


@pytest.mark.parametrize(("given", "near"), [("A100-60GB", "A100-40GB"), ("H10", "H100-80GB"), ("RTX-4080", "RTX4090")])
def test_an_unknown_gpu_gets_one_line_with_near_names(given: str, near: str) -> None:
    with pytest.raises(ConfigError, match=rf"plan\.gpu: no such GPU '{given}'.*Did you mean .*{near}"):
        hardware_for(PlanConfig(gpu=given))


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


# --- prices -----------------------------------------------------------------------------------------------------------


def test_every_gpu_of_the_catalogue_has_a_price() -> None:
    assert set(packaged_prices()) == set(GPUS)


def test_prices_of_ones_own_replace_the_packages_where_there_are_any(tmp_path: Path) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text("NVIDIA A100 80GB: 1.2\n")
    assert hardware_for(PlanConfig(gpu="A100-80GB", prices=str(path))).price_per_hour == 1.2
    assert hardware_for(PlanConfig(gpu="L4", prices=str(path))).price_per_hour == packaged_prices()["L4"]
    assert hardware_for(PlanConfig(gpu="A100-80GB", prices=str(path), price_per_hour=3.0)).price_per_hour == 3.0


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 3\n", "is no mapping of GPU names to US dollars per hour"),
        ("L5: 1\n", "no such GPU 'L5'; known are T4"),
        ("L4: cheap\n", "L4 is 'cheap'; it must be US dollars per GPU and hour"),
        ("L4: -1\n", "L4 is -1; it must be"),
        ("L4: [\n", "cannot read"),
    ],
)
def test_prices_that_cannot_be_meant_get_one_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "prices.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as raised:
        hardware_for(PlanConfig(gpu="L4", prices=str(path)))
    assert message in str(raised.value)
    assert "\n" not in str(raised.value)
