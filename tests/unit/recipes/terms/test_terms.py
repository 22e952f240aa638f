"""Terms of documents in other languages are whole words and names, by what the document itself shows."""

import pytest

from ray_ft.recipes.chunking.languages import document_language, told_language
from ray_ft.recipes.terms.nouns import spaced_nouns
from ray_ft.recipes.terms.of_document import terms_of_passages
from ray_ft.recipes.terms.unspaced import times_in, unspaced_terms
from ray_ft.rows import Chunk


def test_a_chinese_term_is_never_a_part_of_one() -> None:
    text = "打开进水阀，再启动电动机。电动机停止后关闭进水阀。检查电动机的轴承，轴承有噪声时更换轴承。清洁进水阀。"
    terms = unspaced_terms([text], "zh-Hans")
    assert {"进水阀", "电动机", "轴承"} <= terms.keys()
    assert not {"水阀", "进水", "电动", "动机"} & terms.keys()


def test_a_japanese_term_ends_where_the_script_changes() -> None:
    text = "制御盤の主開閉器を入れます。ファイル中の値を五秒間押し続けます。自動的に必要な電流を読みます。"
    terms = unspaced_terms([text], "ja")
    assert {"制御盤", "主開閉器", "電流"} <= terms.keys()
    assert not {"五秒間押", "自動的", "ファイル中", "必要"} & terms.keys()


def test_where_a_text_shows_its_breaks_terms_keep_to_them() -> None:
    words = ["ជ្រើស", "បើក", "លុប", "ឯកសារ", "ទំព័រ", "តារាង", "ជួរឈរ", "រូបភាព", "ពណ៌", "អក្សរ", "បន្ទាត់", "ក្រឡា"]
    text = "។ ".join(f"{word}\u200bប្រអប់\u200bបញ្ជី។ {word}" for word in words[:4]) + "។ ".join(words)
    assert "ប្រអប់បញ្ជី" in unspaced_terms([text], "km")
    torn = text.replace("ប្រអប់\u200bបញ្ជី", "ប្រ\u200bអប់បញ្ជីថ្មី")  # no break behind it
    assert "ប្រអប់បញ្ជី" not in unspaced_terms([torn], "km")


@pytest.mark.parametrize(
    ("language", "text", "nouns", "others"),
    [
        ("de", "Sie prüfen das Ventil. Wenn das Ventil klemmt, prüfen Sie es. Zu ist das Ventil.", "Ventil", "prüfen"),
        ("fr", "Fermez la vanne. Quand la vanne est fermée, vérifiez la vanne et notez.", "vanne", "fermée"),
        ("ru", "Стрелка на манометре стоит. Смотрите на манометре. Число на манометре верное.", "манометре", "верное"),
        ("ko", "밸브를 닫으십시오. 밸브가 닫히면 밸브를 닦으십시오. 밸브의 손잡이.", "밸브", "닫으십시오"),
    ],
)  # fmt: skip
def test_nouns_are_told_by_what_stands_around_them(language: str, text: str, nouns: str, others: str) -> None:
    found = spaced_nouns([text], language)
    assert nouns in found
    assert others not in found


def passages(*texts: str, language: str) -> list[Chunk]:
    return [Chunk(str(i), "0", text, 9, metadata={"written_in": language}) for i, text in enumerate(texts)]


def test_terms_of_many_passages_tell_none_of_them_apart() -> None:
    own = ("玉軸受を見ます。", "電流を読みます。", "巻線を見ます。", "軸を見ます。", "釜を見ます。")
    chunks = passages(*("制御盤の弁を見ます。" + text for text in own), language="ja")
    terms = terms_of_passages(chunks)
    assert "玉軸受" in terms["0"]
    assert "制御盤" not in terms["0"]


def test_english_has_no_terms_here() -> None:
    assert terms_of_passages([Chunk("0", "0", "The pump is started with the lever, and it stops.", 9)]) == {}


def test_code_within_a_passage_does_not_hide_its_language() -> None:
    text = "设置 `ray_ft.config.defaults` 与 `another_very_long_name_of_an_option`\n\n```\nprint(name.of(all))\n```\n"
    assert told_language(text) == "zh-Hans"


def test_a_document_has_the_language_of_most_of_its_text() -> None:
    prose = "Il motore si ferma e la valvola viene chiusa dalla molla, ma non si apre da sola quando è fredda. "
    assert document_language("# Title of the page\n\n" + prose * 20) == "it"
    assert document_language("The pump is started with the lever, and it stops when the valve is closed. " * 20) == ""


def test_letters_that_english_lacks_make_few_function_words_enough() -> None:
    assert told_language("Oblicza logiczną nierównoważność dwóch wyrażeń, które są w nawiasach, na końcu.") == "pl"
    assert told_language("Written by José Peña, Zoë Müller and Łukasz Żak, with help of Ana de la Peña.") == ""


def test_a_particle_is_no_part_of_a_korean_name() -> None:
    text = "리눅스를 설치합니다. 리눅스는 커널입니다. 리눅스의 파일을 읽습니다."
    assert "리눅스" in spaced_nouns([text], "ko")
    assert not [noun for noun in spaced_nouns([text], "ko") if noun.endswith(("를", "는", "의"))]


def test_a_term_within_a_longer_word_of_katakana_is_not_counted() -> None:
    assert times_in("ログ", "ログインした後にログを見ます。ブログではありません。") == 1
    assert times_in("電流", "過電流と電流") == 2
