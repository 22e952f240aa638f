"""A document that is not in English gives prompts in its own language, and keywords that are whole names."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.recipes import QA, Heading, Keyword, Recipe
from ray_ft.recipes.questions import topics
from ray_ft.recipes.questions.from_structure import evaluation_question, training_question
from ray_ft.recipes.questions.parts import is_finished
from ray_ft.recipes.questions.wordings import ENGLISH, PLAIN, WORDINGS
from ray_ft.rows import Chunk, Document, Example

TEXTS = Path(__file__).parents[2] / "data" / "languages"
ASKED = {
    "zh": ("“水泵维护手册”中关于“停止步骤”是怎么说的？", "请写出 zh.md 中“水泵维护手册 > 停止步骤”一节的内容。"),
    "ja": (
        "「ポンプ保守の手引き」では「停止の手順」について何と書かれていますか？",
        "ja.md の「ポンプ保守の手引き > 停止の手順」の節を書いてください。",
    ),
    "th": (
        "“คู่มือการดูแลเครื่องสูบน้ำ” กล่าวถึง “การหยุดเครื่อง” ไว้อย่างไร",
        "จงเขียนหัวข้อ “คู่มือการดูแลเครื่องสูบน้ำ > การหยุดเครื่อง” ของ th.md",
    ),
    "ko": (
        "“펌프 정비 안내서”에서 “정지 절차”에 대해 무엇이라고 합니까?",
        "ko.md의 “펌프 정비 안내서 > 정지 절차” 절을 쓰십시오.",
    ),
    "de": (
        "Was sagt „Handbuch zur Wartung der Pumpe“ über „Abstellen“?",
        "Schreiben Sie den Abschnitt „Handbuch zur Wartung der Pumpe > Abstellen“ von de.md.",
    ),
    "fr": (
        "Que dit « Manuel d'entretien de la pompe » à propos de « Arrêt » ?",
        "Rédigez la section « Manuel d'entretien de la pompe > Arrêt » de fr.md.",
    ),
    "ru": (
        "Что говорится в «Руководство по обслуживанию насоса» на тему «Остановка насоса»?",
        "Напишите раздел «Руководство по обслуживанию насоса > Остановка насоса» файла ru.md.",
    ),
}
"""What `qa` and `heading` ask for one of the sections."""
KEYWORDS = {
    "zh": "请围绕以下主题写一段文字：每月检查、滚动轴承、电动机。",
    "ja": "次の事項について文章を書いてください：月ごとの点検、電気技師、玉軸受、電流。",
    "th": "จงเขียนข้อความเกี่ยวกับเรื่องต่อไปนี้: การตรวจสอบประจำเดือน, ตลับลูกปืน, บันทึก, ช่างไฟฟ้า",
    "ko": "다음 주제에 대한 글을 쓰십시오: 월간 점검, 베어링, 압력계.",
    "de": "Schreiben Sie einen Text zu diesen Themen: Anfahren, Saugventil, Manometer, Druckventil.",
    "fr": "Rédigez un passage sur les sujets suivants : Contrôle mensuel, électricien, roulement.",
}


def made_of(recipe: Recipe, language: str) -> Sequence[Example]:
    text = (TEXTS / f"{language}.md").read_text()
    one = Document(f"0:{language}.md", text, f"{language}.md", "markdown", "", parse_markdown(text).blocks)
    size = 4 if language in ("de", "fr", "ru") else 2  # characters of a token
    return recipe.examples(recipe.chunk(one, lambda passage: len(passage) // size), None)


@pytest.mark.parametrize("language", ASKED)
def test_sections_are_asked_for_in_the_language_of_the_document(language: str) -> None:
    question, order = ASKED[language]
    assert question in [e.prompt for e in made_of(QA(), language)]
    assert order in [e.prompt for e in made_of(Heading(), language)]


@pytest.mark.parametrize("language", KEYWORDS)
def test_keywords_are_whole_names_of_the_document(language: str) -> None:
    assert KEYWORDS[language] in [e.prompt for e in made_of(Keyword(max_chunk_tokens=160), language)]


@pytest.mark.parametrize("language", ASKED)
def test_no_prompt_has_a_word_of_english(language: str) -> None:
    made = [e for recipe in (QA(), Heading(), Keyword()) for e in made_of(recipe, language)]
    assert len(made) > 8
    assert not [e.prompt for e in made if {"Write", "What", "the", "about"} & set(e.prompt.split())]


def chunk(text: str, *path: str, **metadata: str) -> Chunk:
    return Chunk("0#qa-0", "0", text, 20, path, metadata={"path": "a.md", **metadata})


TABLE = "name | value\n-----|------\nporta | 22\nutente | root"


def test_a_table_is_asked_for_in_the_language_of_its_document() -> None:
    asked = training_question(chunk(TABLE, "Manuale", "Valori", written_in="it"))
    assert asked == "Che cosa dice «Manuale» su «Valori»?"
    assert training_question(chunk(TABLE, "Manuale", "Valori")) == "What does “Manuale” say about “Valori”?"


def test_an_english_passage_of_another_document_is_asked_about_in_english() -> None:
    text = "Install the pump with the tool that is in the box, and read the notes of the maker."
    asked = training_question(chunk(text, "手册", "Tools", written_in="zh-Hans"))
    assert asked == "What does “手册” say about “Tools”?"


def test_how_do_i_stands_before_orders_of_english_alone() -> None:
    text = "Die Pumpe wird mit dem Hebel gestartet, und der Druck ist nach zehn Sekunden auf dem Wert."
    assert training_question(chunk(text, "Pumpe", "Install the pump")) == "Was sagt „Pumpe“ über „Install the pump“?"


def test_a_language_without_wordings_has_prompts_without_grammar() -> None:
    greek = "Η αντλία ξεκινά με τον μοχλό και η πίεση φτάνει την τιμή της μετά από δέκα δευτερόλεπτα."
    asked = chunk(greek, "Αντλία", "Εκκίνηση")
    assert training_question(asked) == "“Αντλία”: “Εκκίνηση”"
    assert evaluation_question(asked) == "“Εκκίνηση” (“Αντλία”)"


def test_a_section_of_a_section_is_asked_for_as_such() -> None:
    text = "Die Pumpe wird mit dem Hebel gestartet, und der Druck ist nach zehn Sekunden auf dem Wert."
    asked = training_question(chunk(text, "Kapitel 2. Pumpe", "Start", "Hebel"))
    assert asked == "Was sagt der Abschnitt „Start“ von „Pumpe“ über „Hebel“?"


@pytest.mark.parametrize(
    ("title", "named"),
    [("第 3 章 系统初始化", "系统初始化"), ("第4章 認証", "認証"), ("9장. 데비안", "데비안"), ("บทที่ 2 ปั๊ม", "ปั๊ม"),
     ("Глава 5. Другие файлы", "Другие файлы"), ("Capítulo 1. Bomba", "Bomba"), ("Parte del motor", "Parte del motor")],
)  # fmt: skip
def test_chapters_are_named_without_their_number(title: str, named: str) -> None:
    assert topics.named(title) == named


@pytest.mark.parametrize("language", [*WORDINGS, "plain"])
def test_no_two_prompts_about_a_topic_are_worded_alike(language: str) -> None:
    wording = WORDINGS.get(language, PLAIN)
    fields = {"document": "D", "topic": "T", "within": "W", "section": "S", "path": "P", "topics": "X", "terms": "Y"}
    names = ("trained", "asked", "within", "section", "beginning", "about", "first", "keyword")
    told = [getattr(wording, name).format(**fields) for name in names]
    assert len(set(told)) == len(names)
    assert all(letter in asked for letter, asked in zip("DDDSSSSX", told, strict=True))
    assert not set(told) & {getattr(ENGLISH, name).format(**fields) for name in names}


def test_terms_are_listed_and_quoted_as_the_language_does() -> None:
    terms = "“-a”, “-b” and “-c”"
    assert ENGLISH.listed(terms) == terms
    assert WORDINGS["de"].listed(terms) == "„-a“, „-b“ und „-c“"
    assert WORDINGS["ja"].listed(terms) == "「-a」、「-b」と「-c」"


@pytest.mark.parametrize(
    ("text", "is_whole"),
    [
        ("鍵を回すと始動します。重要なキーを次に記します。", False),
        ("次に鍵を回すと、モーターが始動します。音がしたら止めてください。", True),
        ("设备文件有两种。它们的区别如下。", False),
        ("如下所述的区别很小。设备文件有两种。", True),
    ],
)
def test_a_beginning_that_leads_to_a_list_is_not_whole(text: str, is_whole: bool) -> None:
    assert is_finished(text) == is_whole


def test_a_passage_of_its_script_has_the_language_of_its_document() -> None:
    text = "Утилита показывает версии пакетов (see the list of the packages by apt)."
    asked = training_question(chunk(text, "Пакеты", "Версии", written_in="ru"))
    assert asked == "Что говорится в «Пакеты» на тему «Версии»?"
