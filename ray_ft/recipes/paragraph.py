"""Paragraph recipe: passages as they are, for continued pre-training."""

from dataclasses import dataclass

from ray_ft.recipes.base import RECIPES, Recipe


@RECIPES.register("paragraph")
@dataclass(frozen=True)
class Paragraph(Recipe):
    """Plain language modelling on passages; the paper's raw recipe."""

    name: str = "paragraph"
