"""Names of GPUs as people, Ray and drivers spell them."""

import pytest

from ray_ft.config import PlanConfig
from ray_ft.errors import ConfigError
from ray_ft.hardware import GPUS, catalogue_name, hardware_for


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
