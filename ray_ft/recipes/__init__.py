"""The recipes a config can name; each file enrols one, by its line here."""

from ray_ft.recipes.base import RECIPES as RECIPES
from ray_ft.recipes.base import Recipe as Recipe
from ray_ft.recipes.code_metadata import CodeMetadata as CodeMetadata
from ray_ft.recipes.code_raw import CodeRaw as CodeRaw
from ray_ft.recipes.code_summary import CodeSummary as CodeSummary
from ray_ft.recipes.heading import Heading as Heading
from ray_ft.recipes.keyword import Keyword as Keyword
from ray_ft.recipes.paragraph import Paragraph as Paragraph
from ray_ft.recipes.qa import QA as QA
from ray_ft.recipes.query import Query as Query
