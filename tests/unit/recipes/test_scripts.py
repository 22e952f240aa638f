"""Documents in scripts without spaces give examples as others do, and are asked about in their language."""

import pytest

from ray_ft.data.formats import FORMATS
from ray_ft.data.formats.lightweight.markdown.parse import parse_markdown
from ray_ft.recipes import QA, CodeSummary, Heading, Query
from ray_ft.recipes.chunking.code_worth import MIN_TOLD
from ray_ft.recipes.chunking.entries import groups
from ray_ft.recipes.chunking.keywords import keywords
from ray_ft.recipes.chunking.summaries import news_of
from ray_ft.recipes.chunking.worth import worth_it
from ray_ft.recipes.grounding.check import off_topic, ungrounded
from ray_ft.recipes.questions.from_structure import evaluation_question, reference_answer, training_question
from ray_ft.recipes.questions.written import exam_request, pairs_request, questions_request
from ray_ft.rows import Chunk, Document
from ray_ft.words import num_words, script_language

CHINESE = """# 水泵手册

## 启动步骤

启动之前请确认阀门已经关闭。确认之后按住红色按钮五秒钟，
等待指示灯变成绿色。如果指示灯没有变绿，请切断电源并联系值班人员。

## 停止步骤

按下黑色按钮，等待三十秒直到叶轮停止转动。停止之后关闭阀门，并且在记录本上写下时间。
"""
TRADITIONAL = "# 水泵手冊\n\n## 啟動步驟\n\n啟動之前請確認閥門已經關閉。確認之後按住紅色按鈕五秒鐘。\n"
JAPANESE = """# ポンプの手引き

## 始動の手順

始動する前に弁が閉じていることを確認してください。確認したら赤いボタンを五秒間押し続けます。

## 停止の手順

黒いボタンを押して、回転が止まるまで三十秒ほど待ちます。止まったら弁を閉じ、記録帳に時刻を書いてください。
"""
THAI = "# คู่มือปั๊ม\n\n## การเริ่มเดินเครื่อง\n\nก่อนเริ่มเดินเครื่องให้ตรวจสอบว่าวาล์วปิดอยู่แล้วกดปุ่มสีแดงค้างไว้ห้าวินาทีจนไฟเปลี่ยนเป็นสีเขียว\n"
LAO = "# ຄູ່ມືປັ໊ມ\n\n## ການເລີ່ມເດີນເຄື່ອງ\n\nກ່ອນເລີ່ມເດີນເຄື່ອງໃຫ້ກວດເບິ່ງວ່າວາວປິດຢູ່ແລ້ວກົດປຸ່ມສີແດງຄ້າງໄວ້ຫ້າວິນາທີຈົນໄຟປ່ຽນເປັນສີຂຽວ\n"
KHMER = (
    "# សៀវភៅណែនាំម៉ាស៊ីនបូម\n\n## ការចាប់ផ្តើម\n\n"
    "មុនពេលចាប់ផ្តើមសូមពិនិត្យថាវ៉ាល់ត្រូវបានបិទហើយចុចប៊ូតុងក្រហមរយៈពេលប្រាំវិនាទីរហូតដល់ភ្លើងប្រែជាពណ៌បៃតង។\n"
)
BURMESE = "# ပန့်လက်စွဲ\n\n## စတင်ခြင်း\n\nမစတင်မီ အဆို့ရှင်ပိတ်ထားကြောင်းစစ်ဆေးပါ။ထို့နောက်အနီရောင်ခလုတ်ကိုငါးစက္ကန့်ကြာနှိပ်ထားပါ။\n"
KOREAN = (
    "# 펌프 안내서\n\n## 시동 절차\n\n"
    "밸브가 닫혀 있는지 확인하십시오. 빨간 버튼을 오 초 동안 누르고 불이 들어올 때까지 기다리십시오.\n"
)


def document(text: str) -> Document:
    parsed = parse_markdown(text)
    return Document("0:a.md", text, "a.md", "markdown", "", parsed.blocks)


def count(text: str) -> int:
    return len(text)


@pytest.mark.parametrize(
    ("text", "sections", "asked"),
    [
        (CHINESE, 2, "“水泵手册”中关于“启动步骤”是怎么说的？"),
        (TRADITIONAL, 1, "「水泵手冊」中關於「啟動步驟」是怎麼說的？"),
        (JAPANESE, 2, "「ポンプの手引き」では「始動の手順」について何と書かれていますか？"),
        (THAI, 1, "“คู่มือปั๊ม” กล่าวถึง “การเริ่มเดินเครื่อง” ไว้อย่างไร"),
        (LAO, 1, "“ຄູ່ມືປັ໊ມ” ກ່າວເຖິງ “ການເລີ່ມເດີນເຄື່ອງ” ໄວ້ແນວໃດ?"),
        (KHMER, 1, "តើ “សៀវភៅណែនាំម៉ាស៊ីនបូម” និយាយអ្វីខ្លះអំពី “ការចាប់ផ្តើម”?"),
        (BURMESE, 1, "“ပန့်လက်စွဲ” တွင် “စတင်ခြင်း” အကြောင်း မည်သို့ ဖော်ပြထားသနည်း။"),
        (KOREAN, 1, "“펌프 안내서”에서 “시동 절차”에 대해 무엇이라고 합니까?"),
    ],
    ids=["Chinese", "traditional Chinese", "Japanese", "Thai", "Lao", "Khmer", "Burmese", "Korean"],
)
def test_every_section_gives_an_example_of_each_recipe(text: str, sections: int, asked: str) -> None:
    one = document(text)
    heading, qa, query = Heading(), QA(), Query(max_chunk_tokens=100)
    assert len(heading.examples(heading.chunk(one, count), None)) == sections
    made = qa.examples(qa.chunk(one, count), None)
    assert len(made) == sections
    assert made[0].prompt == asked
    assert query.examples(query.chunk(one, count), None)
    exam = qa.questions(qa.chunk(one, count), None)
    assert len(exam) == sections
    assert exam[0][1].question != asked


@pytest.mark.parametrize(
    ("text", "size", "language"),
    [
        ("启动之前请确认阀门已经关闭。", 7, "zh-Hans"),  # 13 characters, two to a word
        ("使用 Python 编写脚本 now", 5, "zh-Hans"),  # 6 characters and two words
        ("始動する前に弁が閉じている", 7, "ja"),
        ("Größe messen", 2, ""),
        ("one, two - three", 4, ""),
        ("밸브가 닫혀 있는지", 3, "ko"),
    ],
)
def test_words_are_counted_with_and_without_spaces(text: str, size: int, language: str) -> None:
    assert (num_words(text), script_language(text)) == (size, language)


def test_one_word_is_no_section() -> None:
    recipe = Heading()
    assert recipe.chunk(document("# 水泵\n\n## 步骤\n\n见附录。\n"), count) == []


def chunk(text: str, *path: str) -> Chunk:
    return Chunk("0:a#qa-0", "0:a", text, 9, path, 0, len(text), {"path": "a.md"})


def test_lines_of_chinese_are_joined_without_a_space() -> None:
    lines = "确认之后按住红色按钮五秒钟，\n等待指示灯变成绿色。\nThen stop."
    assert (
        reference_answer(chunk(lines, "手册", "步骤")) == "确认之后按住红色按钮五秒钟，等待指示灯变成绿色。 Then stop."
    )


def test_a_heading_that_asks_is_the_question() -> None:
    asked = chunk("请切断电源并联系值班人员。", "水泵手册", "指示灯没有变绿怎么办？")
    assert training_question(asked) == "指示灯没有变绿怎么办？"
    assert evaluation_question(asked) == "“水泵手册”如何回答“指示灯没有变绿怎么办？”这个问题？"


def test_engines_are_told_to_keep_to_the_language() -> None:
    of_chinese, of_english = chunk(CHINESE, "手册"), chunk("Open the valve.", "Manual")
    for request in (pairs_request(of_chinese, num_questions=1, num_phrasings=1), exam_request(of_chinese)):
        assert "Write in the language of the passage." in request
    assert "in the language" in questions_request(of_chinese, num_questions=1)
    assert "in the language" not in pairs_request(of_english, num_questions=1, num_phrasings=1)


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("请切断电源并联系值班人员。", ""),
        ("按住红色按钮五秒钟。", ""),
        ("按住蓝色按钮五秒钟。", "answer not found in the passage"),
    ],
)
def test_answers_are_checked_by_character(answer: str, reason: str) -> None:
    passage = CHINESE.split("\n\n")[2]
    assert off_topic("指示灯没有变绿怎么办？", passage) == ""
    assert ungrounded(answer, passage, question="指示灯没有变绿怎么办？") == reason


def test_keywords_stand_between_function_words() -> None:
    assert keywords(JAPANESE, 4) == ["五秒間押", "三十秒", "ポンプ", "ボタン"]
    assert "指示灯" in keywords(CHINESE, 8)
    assert "Python" in keywords("使用 Python 编写脚本。", 3)


@pytest.mark.parametrize(
    "told",
    [
        "计算所有水泵的运行小时总数，并忽略正在维修的水泵。",
        "すべてのポンプの運転時間を合計し、修理中のものは除く。",
        "คำนวณชั่วโมงการทำงานรวมของปั๊มทั้งหมดโดยไม่นับปั๊มที่กำลังซ่อม",
    ],
    ids=["Chinese", "Japanese", "Thai"],
)
def test_what_is_told_of_code_counts_as_so_many_words(told: str) -> None:
    text = f'def run(pumps):\n    """{told}"""\n    return sum(p.hours for p in pumps if not p.in_repair)\n'
    parsed = FORMATS[".py"].parse(text)
    one = Document("0:a.py", parsed.text, "a.py", "python", "python", tuple(parsed.blocks), {}, parsed.definitions)
    qa, summary = QA(), CodeSummary()
    assert [e.completion for e in qa.examples(qa.chunk(one, count), None)] == [told]
    (made,) = summary.examples(summary.chunk(one, count), None)
    assert made.prompt == f"Write the function `run` of a.py. {told}"
    assert (news_of(told, "run") >= MIN_TOLD, news_of("水泵", "run")) == (True, 1)


def test_passages_without_marks_of_sentences_stand_alone() -> None:
    told = "ตัวควบคุมจะบันทึกความเร็วรอบทุกหนึ่งนาที หากความเร็วรอบต่ำเกินไป ตัวควบคุมจะส่งสัญญาณเตือนให้ปิดวาล์วแล้วตรวจสอบ"
    mixed = f"รุ่น No. 5 และ No. 7 ใช้วาล์วสีแดงแบบเดียวกันทั้งหมด\n\n{told}กรอง"
    assert 20 <= num_words(told) < 30  # as many as two sentences need
    chunks = [chunk(told, "คู่มือ"), chunk(mixed, "คู่มือ")]
    assert [text for _, text in worth_it(chunks, min_words=20)] == [told, mixed]
    torn = "The pump is started. It runs until the lever is moved to the other side of the hall and the mate of the"
    assert worth_it([chunk(torn, "Manual")] * 2, min_words=20) == []


def test_entries_are_parted_by_the_length_of_their_text() -> None:
    told = "启动之前请确认阀门已经关闭。确认之后按住红色按钮五秒钟，等待指示灯变成绿色。"  # 18 words, in one piece
    text = f"- `--start`: {told}\n- `--stop`: {told}\n- `--wait`: {told}\n"
    assert [g.terms for g in groups(text, 0, len(text), min_words=15)] == [("--start",), ("--stop",), ("--wait",)]
