"""prepare over texts as companies have them: scripts without spaces, old encodings, headings of plain text, manuals."""

import logging
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from pdf_files import PdfPage, pdf_file

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.recipes import QA, Heading, Paragraph, Query

pytestmark = pytest.mark.ray

GERMAN = "The pump of Müller & Söhne in Zürich runs at night. It costs 5 € an hour — no more.\n"
CHINESE = (
    "# 水泵手册\n\n## 启动步骤\n\n启动之前请确认阀门已经关闭。确认之后按住红色按钮五秒钟，等待指示灯变成绿色。\n\n"
    "## 停止步骤\n\n按下黑色按钮，等待三十秒直到叶轮停止转动。停止之后关闭阀门，并且在记录本上写下时间。\n"
)
THAI = "# คู่มือปั๊ม\n\n## การเริ่มเดินเครื่อง\n\nก่อนเริ่มเดินเครื่องให้ตรวจสอบว่าวาล์วปิดอยู่แล้วกดปุ่มสีแดงค้างไว้ห้าวินาทีจนไฟเปลี่ยนเป็นสีเขียว\n"
SETTINGS = (
    "Settings of a pump\n==================\n\nRate\n----\n\nThe rate is given in litres in a minute, and the limit is "
    "forty of them.\n\nDelay\n-----\n\nThe delay is given in seconds and counts from the moment at which it opens.\n"
)
TITLES = "# Manual\n\n" + "".join(
    f"## {title}\n\nThis part tells what everybody in the hall has to know about {title.lower()} before work.\n\n"
    for title in ("Release procedure", "Stop words", "Return value", "List of fields", "Install the pump")
)


class Prepared(NamedTuple):
    """What prepare made and said."""

    made: TrainingSet
    log: str

    def rows(self, table: str) -> list[dict[str, Any]]:
        import pyarrow.parquet as pq

        rows: list[dict[str, Any]] = pq.read_table(Path(self.made.path) / table).to_pylist()
        return rows


def _manual() -> bytes:
    pages = []
    for number in range(8):
        page = PdfPage(has_image=number >= 5)
        page.write(f"Pump handbook DOC-4711 - page {number + 1} of 8", y=815, size=8)
        if number < 5:
            page.write(f"How valve {number} is closed", y=780, is_bold=True)
            for i in range(30):
                page.write(f"Valve {number}, step {i}: the mate turns lever {i} and writes it down.", y=765 - 13 * i)
        pages.append(page)
    return pdf_file(pages)


@pytest.fixture(scope="module")
def prepared(ray_cluster: None, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    root = tmp_path_factory.mktemp("texts") / "hall"
    root.mkdir()
    files = {
        "pump_zh.md": CHINESE.encode(),
        "pump_th.md": THAI.encode(),
        "stray.txt": GERMAN.encode() * 4 + b"Written by Jos\xe9.\n",
        "czech.txt": ("Před spuštěním ověřte, že je ventil zavřený. Potom stiskněte tlačítko.\n" * 3).encode("cp1250"),
        "turkish.txt": ("Çalıştırmadan önce vananın kapalı olduğundan emin olun.\n" * 3).encode("cp1254"),
        "japanese.txt": "始動する前に弁が閉じていることを確認してください。\n".encode("shift_jis"),
        "wide.txt": "Перед запуском убедитесь, что клапан закрыт.\n".encode("utf-16-le"),
        "settings.txt": SETTINGS.encode(),
        "titles.md": TITLES.encode(),
        "manual.pdf": _manual(),
    }
    for name, content in files.items():
        (root / name).write_bytes(content)
    said: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: said.append(record.getMessage())  # type: ignore[method-assign]
    log = logging.getLogger("ray_ft")
    level = log.level
    log.addHandler(handler)
    log.setLevel(logging.INFO)
    try:
        made = prepare_training_set(
            DataConfig(
                sources=(str(root),),
                recipes=(Heading(max_chunk_tokens=400), QA(max_chunk_tokens=200), Query(), Paragraph()),
                validation_fraction=0,
                test_fraction=0,
            ),
            model=ModelConfig(name="builtin:tiny", max_seq_len=512),
            model_path=tiny_model_path,
            output_path=str(tmp_path_factory.mktemp("run") / "data"),
            seed=0,
            inputs_digest="fingerprint",
        )
    finally:
        log.setLevel(level)
        log.removeHandler(handler)
    return Prepared(made, "\n".join(said))


def test_every_file_is_read_and_its_note_says_what_was_guessed(prepared: Prepared) -> None:
    documents = {Path(d["path"]).name: d for d in prepared.rows("documents.parquet")}
    assert {d["status"] for d in documents.values()} == {"ok"}
    assert {name: (d["encoding"], d["note"]) for name, d in documents.items() if d["note"]} == {
        "stray.txt": ("utf-8", "1 wrong byte in UTF-8 read as cp1252"),
        "czech.txt": ("cp1250", "encoding guessed: cp1250"),
        "turkish.txt": ("cp1254", "encoding guessed: cp1254"),
        "japanese.txt": ("shift_jis", "encoding guessed: shift_jis"),
        "wide.txt": ("utf-16-le", "encoding guessed: utf-16-le"),
        "manual.pdf": ("", "3 of 8 pages need OCR"),
    }
    assert "Written by José." in documents["stray.txt"]["text"]
    assert "že je ventil zavřený" in documents["czech.txt"]["text"]
    assert "DOC-4711" not in documents["manual.pdf"]["text"]


def test_the_log_tells_guesses_and_scans(prepared: Prepared) -> None:
    assert "3 of 8 pages need OCR, in 1 PDF files" in prepared.log
    assert "encodings that were not plain: 1 UTF-8 with other bytes, 1 cp1250, 1 cp1254" in prepared.log


def test_scripts_without_spaces_and_plain_text_give_examples_of_sections(prepared: Prepared) -> None:
    examples = prepared.rows("examples.parquet")
    made = {(e["recipe"], e["prompt"]) for e in examples if not e["dropped"]}
    assert ("qa", "“水泵手册”中关于“启动步骤”是怎么说的？") in made
    assert ("qa", "“คู่มือปั๊ม” กล่าวถึง “การเริ่มเดินเครื่อง” ไว้อย่างไร") in made
    headings = {prompt for recipe, prompt in made if recipe == "heading"}
    for path in ("水泵手册 > 停止步骤", "คู่มือปั๊ม > การเริ่มเดินเครื่อง", "Settings of a pump > Rate"):
        assert any(f"“{path}”" in prompt for prompt in headings)


def test_orders_alone_are_asked_how_to_do_them_and_no_prompt_counts_parts(prepared: Prepared) -> None:
    prompts = [e["prompt"] for e in prepared.rows("examples.parquet")]
    assert {prompt for prompt in prompts if prompt.startswith("How do I")} == {"How do I install the pump?"}
    assert not [prompt for prompt in prompts if "(part" in prompt]
    of_section = [p for p in prompts if p.startswith("Write ") and "“How valve 0 is closed”" in p]
    assert len(set(of_section)) == len(of_section) >= 1
