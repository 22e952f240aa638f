"""Encodings that files do not name: told apart by the letters of languages, with a note of what was guessed."""

import time
from pathlib import Path

import pytest

from ray_ft.config import DataConfig
from ray_ft.data.documents import ReadFile, told_of_encoding
from ray_ft.data.filters.rules import dropped_by_bytes
from ray_ft.data.ingest.encodings import byte_spans, decode
from ray_ft.data.ingest.encodings.guess import sample_of
from ray_ft.data.ingest.listing import list_files
from ray_ft.data.ingest.reading import read_file

TEXTS = {
    "cp1250 iso8859-2 cp852": "Před spuštěním ověřte, že je ventil zavřený. Potom stiskněte červené tlačítko.",
    "iso8859-2 cp852 cp1250": "Przed uruchomieniem sprawdź, czy zawór jest zamknięty. Naciśnij czerwony przycisk.",
    "cp1250": "Indítás előtt ellenőrizze, hogy a szelep zárva van. Tartsa nyomva a gombot öt másodpercig.",
    "cp1250 iso8859-2": "Înainte de pornire verificaţi dacă supapa este închisă. Apoi apăsaţi butonul roşu.",
    "cp1251 koi8-r cp866 iso8859-5": "Перед запуском убедитесь, что клапан закрыт. Затем нажмите кнопку.",
    "cp1251 koi8-u": "Перед запуском переконайтеся, що клапан закрито. Потім натисніть її кнопку.",
    "cp1252 iso8859-15 cp850 mac_roman": "Größe messen und notieren, bevor das Ventil geöffnet wird. Überdruck prüfen.",
    "cp1252 mac_roman": "Avant de démarrer, vérifiez que la vanne est fermée, là où le voyant s’allume.",
    "cp1252": "Áður en þú byrjar skaltu ganga úr skugga um að lokinn sé lokaður. Ýttu á hnappinn.",
    "cp1254 iso8859-9": "Çalıştırmadan önce vananın kapalı olduğundan emin olun.",
    "cp1253 iso8859-7": "Πριν από την εκκίνηση βεβαιωθείτε ότι η βαλβίδα είναι κλειστή.",
    "cp1255": "לפני ההפעלה ודא שהשסתום סגור. לאחר מכן לחץ על הכפתור האדום.",
    "cp1256 iso8859-6": "قبل التشغيل تأكد من أن الصمام مغلق. ثم اضغط على الزر الأحمر لمدة خمس ثوان.",
    "cp1257": "Prieš pradėdami įsitikinkite, kad vožtuvas uždarytas, ir palaukite, kol užsidegs šviesa.",
    "cp874": "ก่อนเริ่มเดินเครื่องให้ตรวจสอบว่าวาล์วปิดอยู่แล้วกดปุ่มสีแดงค้างไว้ห้าวินาที",
    "gb18030 gbk utf-16-le utf-16-be": "启动之前请确认阀门已经关闭。确认之后按住红色按钮五秒钟，等待指示灯变成绿色。",
    "big5 utf-16-le": "啟動之前請確認閥門已經關閉。確認之後按住紅色按鈕五秒鐘，等待指示燈變成綠色。",
    "shift_jis euc_jp cp932 iso2022_jp utf-16-be": "始動する前に弁が閉じていることを確認してください。①赤いボタン。",
    "euc_kr utf-16-le": "시동하기 전에 밸브가 닫혀 있는지 확인하십시오. 빨간 버튼을 누르십시오.",
}
CASES = [(encoding, text) for encodings, text in TEXTS.items() for encoding in encodings.split()]


@pytest.mark.parametrize("times", [1, 12])
@pytest.mark.parametrize(("encoding", "text"), CASES, ids=[f"{e}-{t[:8]}" for e, t in CASES])
def test_the_letters_of_a_language_tell_the_encoding(encoding: str, text: str, times: int) -> None:
    if encoding in ("shift_jis", "euc_jp", "iso2022_jp"):
        text = text.replace("①", "")  # which vendors added
    text = f"{text}\n" * times
    data = text.encode(encoding)
    decoded = decode(data)
    assert decoded.text == text
    assert decoded.note.startswith("encoding guessed: ")
    assert not dropped_by_bytes(data)
    ((start, end),) = byte_spans(data, decoded.encoding, [(3, 9)])
    if encoding != "iso2022_jp":  # whose characters depend on what stands before them
        assert data[start:end].decode(encoding) == text[3:9]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"])
@pytest.mark.parametrize(
    "text", ["Start the pump.\nThen wait.\n", "Перед запуском.\nПотом ждите.\n", "启动之前\n请确认\n"]
)
def test_wide_encodings_without_a_mark_are_text(encoding: str, text: str) -> None:
    data = text.encode(encoding)
    assert (dropped_by_bytes(data), decode(data).text, decode(data).encoding) == ("", text, encoding)


@pytest.mark.parametrize("data", [bytes(range(256)) * 8, b"\x7fELF\x02\x01\0\0" * 50, (1000).to_bytes(4) * 100])
def test_binary_files_are_no_wide_text(data: bytes) -> None:
    assert dropped_by_bytes(data) == "binary"


GERMAN = "The pump of Müller & Söhne in Zürich. It costs 5 € an hour — no more.\n"


@pytest.mark.parametrize(
    ("data", "text", "note"),
    [
        (GERMAN.encode() + b"By Jos\xe9.\n", f"{GERMAN}By José.\n", "1 wrong byte in UTF-8 read as cp1252"),
        (
            "Überdruck prüfen.\n".encode() + "Größe messen, bevor es geöffnet wird.\n".encode("cp1252"),
            "Überdruck prüfen.\nGröße messen, bevor es geöffnet wird.\n",
            "3 wrong bytes in UTF-8 read as cp1252",
        ),
        (
            "Před spuštěním ověřte.\n".encode() + "Kůň ověřte, že je zavřený.\n".encode("cp1250"),
            "Před spuštěním ověřte.\nKůň ověřte, že je zavřený.\n",
            "7 wrong bytes in UTF-8 read as cp1250",
        ),
        (("启动之前请确认阀门。" * 9).encode()[:-1], f"{'启动之前请确认阀门。' * 9}"[:-1] + "��", None),
        (b"\xef\xbb\xbf" + GERMAN.encode() + b"Jos\xe9", f"{GERMAN}José", "1 wrong byte in UTF-8 read as cp1252"),
    ],
    ids=["a stray byte", "two halves", "two halves in Czech", "cut in a character", "with a mark"],
)
def test_a_few_other_bytes_do_not_spoil_a_file_in_utf8(data: bytes, text: str, note: str | None) -> None:
    decoded = decode(data)
    assert decoded.text == text
    assert decoded.encoding in ("utf-8", "utf-8-sig")
    assert decoded.note == note or (note is None and decoded.note.endswith("in UTF-8 replaced"))
    spans = byte_spans(data, decoded.encoding, [(0, 4), (len(text) - 5, len(text))])
    assert spans[-1][1] == len(data)


@pytest.mark.parametrize(
    "text",
    ["CAFÉ… à é. L’État «É».\n", "5°C\n", "it’s 5 €\n", "The pump’s “main” valve — see below — isn’t open…\n" * 9],
)
def test_marks_of_western_texts_are_no_utf8_and_no_other_letters(text: str) -> None:
    assert (decode(text.encode("cp1252")).text, decode(text.encode("cp1252")).encoding) == (text, "cp1252")


def test_cyrillic_capitals_before_a_quotation_mark_are_no_utf8() -> None:
    text = "«СССР» и «ГОСТ» 5° в «ЛЭП».\n" * 5  # Р» is the bytes of л in UTF-8
    assert decode(text.encode("cp1251")).text == text


@pytest.mark.parametrize(
    ("head", "encoding"),
    [
        ('<meta charset="windows-1250">', "cp1250"),
        ("# -*- coding: koi8-r -*-\n", "koi8-r"),
        ("<?xml version='1.0' encoding='euc-jp'?>", "euc_jp"),
    ],
)
def test_what_a_file_says_of_its_encoding_counts(head: str, encoding: str) -> None:
    text = f"{head}x{'え' if encoding == 'euc_jp' else 'я' if encoding == 'koi8-r' else 'ř'}"
    assert (decode(text.encode(encoding)).text, decode(text.encode(encoding)).note) == (text, "")


@pytest.mark.parametrize("name", ["utf-16", "rot13", "utf-7", "punycode", "no-such-codec"])
def test_a_file_that_names_no_encoding_of_bytes_is_guessed(name: str) -> None:
    text = f"# coding: {name}\nx = 'Größe'\n"
    assert decode(text.encode("cp1252")).text == text


def test_what_could_be_another_encoding_is_said() -> None:
    assert decode("概述".encode("gb18030")).note == "encoding guessed: cp1253, which could be gb18030"


def test_a_little_of_a_large_file_is_looked_at() -> None:
    data = ("plain\n" * 99 + "Größe\n").encode("cp1252") * 9000
    assert 8000 < len(sample_of(data)) <= 8192
    decode(data[:1000])
    started = time.process_time()
    for _ in range(20):
        decode("Größe messen, bevor das Ventil geöffnet wird.\n".encode("cp1252"))
    assert time.process_time() - started < 20 * 0.02  # s; it was 0.03 to 0.2 by charset-normalizer


def read(folder: Path) -> ReadFile:
    (file,) = list_files(DataConfig(sources=(str(folder),), recipes=()))
    return read_file(file)


def test_the_note_stands_beside_the_document(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("Çalıştırmadan önce vananın kapalı olduğundan emin olun.".encode("cp1254"))
    found = read(tmp_path)
    assert (found.status, found.encoding, found.note) == ("ok", "cp1254", "encoding guessed: cp1254")
    assert told_of_encoding(f"{found.note}; redacted 1 EMAIL") == "cp1254"


def test_the_summary_counts_files_by_what_is_told_of_them() -> None:
    assert told_of_encoding("3 wrong bytes in UTF-8 read as cp1252") == "UTF-8 with other bytes"
    assert told_of_encoding("encoding guessed: cp1252, which could be cp1250") == "cp1252"
    assert told_of_encoding("redacted 1 EMAIL") == ""
