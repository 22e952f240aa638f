"""What detect() finds on a real cluster: here one machine without GPUs."""

import pytest

from ray_ft.config import PlanConfig
from ray_ft.hardware import detect, hardware_for


@pytest.mark.ray
def test_a_cluster_without_gpus_is_its_largest_nodes_cpu(ray_cluster: None) -> None:
    import ray

    cpus = int(ray.cluster_resources()["CPU"])
    found = hardware_for(PlanConfig())  # plan.gpu is null: Ray is asked
    assert (found.gpu, found.num_gpus) == ("cpu", cpus)
    assert detect(PlanConfig(host_memory_gib=8)).memory_bytes == 8 * 2**30
