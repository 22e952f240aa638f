"""prepare on pages, manuals, slides and sheets of many generators: what comes out as examples, and what as a reason."""

import datetime
import shutil
from pathlib import Path
from typing import Any

import openpyxl
import pptx
import pytest

from ray_ft.artifacts import TrainingSet
from ray_ft.config import DataConfig, ModelConfig
from ray_ft.data.prepare import prepare_training_set
from ray_ft.recipes import QA, Heading, Paragraph

pytestmark = pytest.mark.ray

PAGES = Path(__file__).parents[1] / "data" / "markup"
FURNITURE = (
    "Prev", "Next", "cookies", "Tweet", "Imprint", "Related pages", "Document generated", "Created by", "Attachments",
    "iVBOR", "base64", "{{", "{%", "Table of Contents", "import Tabs", "<Tab",
)  # fmt: skip


@pytest.fixture(scope="module")
def made(ray_cluster: None, tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> TrainingSet:
    folder = tmp_path_factory.mktemp("markup") / "pages"
    shutil.copytree(PAGES, folder)
    book = openpyxl.Workbook()
    book.active.title = "Prices"
    for row in (["Room", "Price", "From"], ["Single", 40, datetime.date(2024, 3, 1)], ["Double", 60, None]):
        book.active.append(row)
    book.active["B2"].number_format = '0.00" EUR"'
    book.active["C2"].number_format = "dd.mm.yyyy"
    book.save(folder / "prices.xlsx")
    show = pptx.Presentation()
    slide = show.slides.add_slide(show.slide_layouts[1])
    slide.shapes.title.text = "Close the valve"
    slide.placeholders[1].text = "Turn the wheel to the right until it stops.\nHang the red sign on it."
    slide.notes_slide.notes_text_frame.text = "Show the wheel to the new colleagues."
    show.save(folder / "valve.pptx")
    return prepare_training_set(
        DataConfig(sources=(str(folder),), recipes=(Heading(), QA(), Paragraph()), test_fraction=0.0),
        model=ModelConfig(name="builtin:tiny", max_seq_len=512),
        model_path=tiny_model_path,
        output_path=str(tmp_path_factory.mktemp("run") / "data"),
        seed=0,
        inputs_digest="fingerprint",
    )


def _rows(made: TrainingSet, table: str) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = pq.read_table(Path(made.path) / table).to_pylist()
    return rows


def _completion(made: TrainingSet, words: str) -> str:
    """The completion of the one heading example whose prompt holds the words."""
    (found,) = [e for e in _rows(made, "examples.parquet") if e["recipe"] == "heading" and words in e["prompt"]]
    return str(found["completion"])


def test_a_template_is_skipped_and_all_else_is_read(made: TrainingSet) -> None:
    documents = _rows(made, "documents.parquet")
    assert {d["path"]: d["reason"] for d in documents if d["status"] != "ok"} == {"pages/list.html": "template"}
    assert made.files["skipped: template"] == 1


def test_no_example_holds_what_is_the_sites_or_a_generators(made: TrainingSet) -> None:
    examples = _rows(made, "examples.parquet")
    assert len(examples) > 40
    for example in examples:
        text = f"{example['prompt']}\n{example['completion']}"
        assert not [words for words in FURNITURE if words in text], text


@pytest.mark.parametrize(
    ("prompt", "completion"),
    [
        ("“Holiday rules > Apply for holiday”", "Apply in the portal two weeks before the first day at the latest."),
        ("“START PUMP > Parameters”", "The number of the pump as it stands on the plate beside the door."),
        ("“Valve types > Gate valves”", "Gate valves need many turns and are used for water in large pipes."),
        ("> Canteen”", "The canteen opens at eleven from now on and closes at two."),
        ("> Road closed”", "The road to gate B is closed until the end of May for repairs."),
        ("“Book a trip”", "Book your trip in the portal at least ten days ahead."),
        ("“Book a trip”", "Trips over five days need the consent of your manager."),
        ("“Pay for a trip”", "The limit is 250 euros for a night."),
        ("“Safety sheet”", "Wear goggles and gloves whenever the lid of the tank is open."),
        ("“Safety sheet”", "The phone of the fire brigade is on the door of every room."),
        ("“Safety sheet”", "Never mix acid with water in the wrong order."),
        ("“Numbers”", "1. First wash the tank.\n  - Use cold water.\n2. Then dry the tank."),
        ("“Warranty”", "In Norway the warranty ends after five years."),
        ("Change a disk > Steps”", "lsblk -o NAME,SERIAL\nsmartctl -a /dev/sda\n"),
        ("Change a disk > Steps”", "- Press the lever.\n  - Pull it towards you."),
        ("Listing > Example”", "first line\nsecond line\nthird line\n"),
        ("Listing > Example”", "def add(a, b):\n    return a + b\nprint(add(1, 2))\n"),
        ("> By season”", "Single | 45 | 66"),
        ("> Commands by system”", "brew update\n- brew install tool"),
        ("“Freight Router > Install”", "Install the router with the package manager"),
        ("Limits of the gateway”", "A mail may have up to [25 MiB]"),
        ("“Rotate by hand”", "Use the small key for tests."),
        ("“Prices”", "Single | 40.00 EUR | 01.03.2024"),
        ("“Close the valve”", "Turn the wheel to the right until it stops."),
    ],
)
def test_a_section_says_what_its_page_says(made: TrainingSet, prompt: str, completion: str) -> None:
    assert completion in _completion(made, prompt)


def test_prompts_of_a_page_whose_sections_are_alike_name_the_page(made: TrainingSet) -> None:
    prompts = [e["prompt"] for e in _rows(made, "examples.parquet") if "Parameters" in e["prompt"]]
    assert prompts
    assert all("START PUMP" in prompt or "STOP PUMP" in prompt for prompt in prompts)
