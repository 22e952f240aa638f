"""Known GPUs with their numbers and prices, and what a cluster has of them."""

from ray_ft.hardware.cluster import (
    Assumptions,
    configured_price,
    detect,
    group_nodes,
    hardware_for,
    placement,
    placement_among,
)
from ray_ft.hardware.gpus import ALIASES, GIB, GPU, GPUS, catalogue_name, known_gpu
from ray_ft.hardware.machine import Hardware, cpu_hardware, gpu_hardware
from ray_ft.hardware.prices import load_prices, packaged_prices

__all__ = [
    "ALIASES",
    "GIB",
    "GPU",
    "GPUS",
    "Assumptions",
    "Hardware",
    "catalogue_name",
    "configured_price",
    "cpu_hardware",
    "detect",
    "gpu_hardware",
    "group_nodes",
    "hardware_for",
    "known_gpu",
    "load_prices",
    "packaged_prices",
    "placement",
    "placement_among",
]
