"""prepare over documents in seven languages: each gives prompts in its own, of every recipe, and none in English."""

import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.recipes import QA, Heading, Keyword

pytestmark = pytest.mark.ray

TEXTS = Path(__file__).parents[1] / "data" / "languages"
BEGINNINGS = {
    "de": ("Schreiben Sie den Abschnitt „", "Was sagt „", "Schreiben Sie einen Text zu diesen Themen: "),
    "fr": ("Rédigez la section « ", "Que dit « ", "Rédigez un passage sur les sujets suivants : "),
    "ja": ("hall/ja.md の「", "「ポンプ保守の手引き」では「", "次の事項について文章を書いてください："),
    "ko": ("hall/ko.md의 “", "“펌프 정비 안내서”에서 “", "다음 주제에 대한 글을 쓰십시오: "),
    "ru": ("Напишите раздел «", "Что говорится в «", "Напишите текст на следующие темы: "),
    "th": ("จงเขียนหัวข้อ “", "“คู่มือการดูแลเครื่องสูบน้ำ” กล่าวถึง “", "จงเขียนข้อความเกี่ยวกับเรื่องต่อไปนี้: "),
    "zh": ("请写出 hall/zh.md 中“", "“水泵维护手册”中关于“", "请围绕以下主题写一段文字："),
}  # fmt: skip
"""How the prompts of heading, qa and keyword begin."""


@pytest.fixture(scope="module")
def prompts(ray_cluster: None, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Those of each recipe, by the name of the document and the recipe."""
    root = tmp_path_factory.mktemp("languages") / "hall"
    shutil.copytree(TEXTS, root)
    recipes = (Heading(max_chunk_tokens=2000), QA(max_chunk_tokens=2000), Keyword(max_chunk_tokens=2000))
    made = prepare_training_set(
        DataConfig(sources=(str(root),), recipes=recipes, validation_fraction=0, test_fraction=0),
        model=ModelConfig(name="builtin:tiny", max_seq_len=4096),
        model_path=tiny_model_path,
        output_path=str(tmp_path_factory.mktemp("run") / "data"),
        seed=0,
        inputs_digest="fingerprint",
    )
    found: dict[str, list[str]] = {}
    for row in pq.read_table(Path(made.path) / "examples.parquet").to_pylist():
        name = Path(row["document_id"].partition(":")[2]).name
        found.setdefault(f"{name}/{row['recipe']}", []).append(row["prompt"])
    return found


@pytest.mark.parametrize("language", BEGINNINGS)
def test_each_recipe_asks_in_the_language_of_the_document(language: str, prompts: dict[str, list[str]]) -> None:
    for recipe, beginning in zip(("heading", "qa", "keyword"), BEGINNINGS[language], strict=True):
        asked = prompts[f"{language}.md/{recipe}"]
        assert asked
        assert all(prompt.startswith(beginning) for prompt in asked), asked
