"""The recipes a config can name; each file enrols one."""

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.paragraph import Paragraph

__all__ = ["RECIPES", "Paragraph", "Recipe"]
