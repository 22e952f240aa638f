"""The public functions: load a stage's inputs, call the stage, save what it made."""

from ray_ft.api.planning import *  # noqa: F403
from ray_ft.api.planning import __all__ as __all__
from ray_ft.api.planning import _train_inputs as _train_inputs
