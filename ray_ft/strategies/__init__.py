"""The strategies a config can name; each file enrols one."""

from ray_ft.strategies.base import AUTO_STAGE, STRATEGIES, Backend, Strategy
from ray_ft.strategies.full import Full
from ray_ft.strategies.lora import LoRA
from ray_ft.strategies.qlora import QLoRA

__all__ = ["AUTO_STAGE", "STRATEGIES", "Backend", "Full", "LoRA", "QLoRA", "Strategy"]
