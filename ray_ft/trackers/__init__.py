"""The trackers a config can name; each file enrols one."""

from ray_ft.trackers.base import TRACKERS, TrackedRun, Tracker, TrackerSession
from ray_ft.trackers.mlflow import MLflow
from ray_ft.trackers.tensorboard import TensorBoard
from ray_ft.trackers.wandb import WeightsAndBiases

__all__ = ["TRACKERS", "MLflow", "TensorBoard", "TrackedRun", "Tracker", "TrackerSession", "WeightsAndBiases"]
