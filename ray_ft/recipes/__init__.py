"""The recipes a config can name; each file enrols one."""

from ray_ft.recipes.base import RECIPES, Recipe
from ray_ft.recipes.code_metadata import CodeMetadata
from ray_ft.recipes.code_raw import CodeRaw
from ray_ft.recipes.code_summary import CodeSummary
from ray_ft.recipes.heading import Heading
from ray_ft.recipes.keyword import Keyword
from ray_ft.recipes.paragraph import Paragraph
from ray_ft.recipes.qa import QA

__all__ = ["QA", "RECIPES", "CodeMetadata", "CodeRaw", "CodeSummary", "Heading", "Keyword", "Paragraph", "Recipe"]
