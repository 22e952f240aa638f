"""What README and docs/benchmarks say is what the files beside them hold: each text below is made of the files."""

import json
import re
from pathlib import Path

import pytest
from answer_figures import page_lines, readme_lines
from document_blocks import REPOSITORY
from example_figures import graded_lines, pattern_lines
from markdown_tables import read_csv, table_rows
from several_gpus_tables import losses_table, memory_table

BENCHMARKS = REPOSITORY / "docs" / "benchmarks"
TRAINING = BENCHMARKS / "training-h200.md"
WITH, WITHOUT = ("LoRA", "QLoRA, NF4 with double quantisation"), "Without FlashAttention-4"


@pytest.fixture(autouse=True)
def scripts(monkeypatch: pytest.MonkeyPatch) -> None:
    """What stands behind `scripts/` can be imported as `bench`."""
    monkeypatch.syspath_prepend(str(REPOSITORY / "scripts"))


class Rows:
    """Figures of training-h200.csv by section, row and column."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str, str], str] = {}
        for r in read_csv(BENCHMARKS / "training-h200.csv"):
            self.texts.setdefault((r["section"], r["row"], r["column"]), r["value"])

    def speed(self, section: str, row: str) -> str:
        return self.texts[section, row, "tokens/s"]

    def gib(self, section: str, row: str) -> str:
        """Without what was reserved, which some tables have in brackets."""
        for column in ("peak GiB", "peak GiB (reserved)"):
            if text := self.texts.get((section, row, column)):
                return text.split(" ")[0]
        raise KeyError(row)

    def both(self, section: str, row: str) -> str:
        return f"{self.speed(section, row)} in {self.gib(section, row)}"

    def ratio(self, section: str, row: str, other: str) -> float:
        first, second = (float(self.speed(section, name).replace(",", "")) for name in (row, other))
        return first / second


def training_lines(rows: Rows) -> list[str]:
    """README's rows on training, and the sentences of the page."""
    unsloth, offloading, peft = (
        "Unsloth, no checkpointing", "Unsloth, its offloading checkpointing",
        "transformers + PEFT, autocast, fp32 adapters",
    )  # fmt: skip
    lora, qlora = WITH
    recomputing, again = "ray_ft with activation checkpointing", f"{WITHOUT}, measured again"
    full, bf16 = "Full fine-tuning", "transformers, pure bf16 weights and states, Liger"
    short = json.loads((BENCHMARKS / "short-examples.json").read_text())
    filled = short["as they come"]["filled"]
    padded, packed = (
        float(rows.speed("Short examples", name).replace(",", ""))
        for name in ("transformers + PEFT, batches padded to the longest", "ray_ft, packed rows")
    )
    slots, full_rows = short["as they come"]["slots_per_step"], 4 * 2048
    reckoned = float(f"{filled:.3f}") * float(rows.speed(lora, peft).replace(",", ""))

    def r(section: str, row: str, other: str) -> str:
        return f"{rows.ratio(section, row, other):.2f}"

    def without(kind: str, row: str) -> str:
        return f"{kind}: {row}"

    return [
        f"| LoRA with FlashAttention-4, tokens/s and GiB of one GPU | {rows.both(lora, 'ray_ft')} "
        f"| Unsloth {rows.both(lora, unsloth)} (ray_ft {r(lora, 'ray_ft', unsloth)}x); "
        f"transformers + PEFT {rows.both(lora, peft)} ({r(lora, 'ray_ft', peft)}x) |",
        f"| LoRA without it | {rows.both(WITHOUT, 'LoRA: ray_ft')} "
        f"| Unsloth {rows.both(WITHOUT, without('LoRA', unsloth))} "
        f"({r(WITHOUT, 'LoRA: ray_ft', without('LoRA', unsloth))}x); another time {rows.speed(again, 'LoRA: ray_ft')} "
        f"beside {rows.speed(again, without('LoRA', unsloth))} "
        f"({r(again, 'LoRA: ray_ft', without('LoRA', unsloth))}x) |",
        f"| QLoRA with FlashAttention-4 | {rows.both(qlora, 'ray_ft')} "
        f"| Unsloth {rows.both(qlora, unsloth)} ({r(qlora, 'ray_ft', unsloth)}x) |",
        f"| QLoRA without it | {rows.both(WITHOUT, 'QLoRA: ray_ft')} "
        f"| Unsloth {rows.both(WITHOUT, without('QLoRA', unsloth))} "
        f"({r(WITHOUT, 'QLoRA: ray_ft', without('QLoRA', unsloth))}x) |",
        f"| QLoRA with activation checkpointing, with FlashAttention-4 | {rows.both(qlora, recomputing)} "
        f"| Unsloth {rows.both(qlora, offloading)} ({r(qlora, recomputing, offloading)}x) |",
        f"| the same without it | {rows.both(WITHOUT, without('QLoRA', recomputing))} "
        f"| Unsloth {rows.both(WITHOUT, without('QLoRA', offloading))} "
        f"({r(WITHOUT, without('QLoRA', recomputing), without('QLoRA', offloading))}x) |",
        f"| full, fp32 masters, one GPU | {rows.both(full, 'ray_ft, fp32 masters')} "
        f"| transformers with bf16 weights and states, where small updates are lost: {rows.both(full, bf16)} "
        f"({r(full, 'ray_ft, fp32 masters', bf16)}x) |",
        f"| full, fp32 masters, two GPUs, ZeRO-2 | {rows.both(full, 'ray_ft, fp32 masters, ZeRO-2')} each | |",
        f"| short examples, packed, {full_rows:,} tokens a step | {packed:,.0f} | padded: {padded:,.0f} measured at "
        f"{slots:,.0f} token slots a step; about {reckoned:,.0f} reckoned at {full_rows:,} "
        f"({packed / reckoned:.1f}x); the same loss |",
        # README's beginning, and the page of training
        f"as they were {r(full, 'ray_ft, fp32 masters, ZeRO-2', BEFORE)} times as fast when both were measured",
        f"{r(full, 'ray_ft, fp32 masters, ZeRO-2', BEFORE)} times as fast is what is known of ray_ft's engine beside",
        f"{r(lora, 'ray_ft', peft)} times plain PEFT; {r(lora, 'ray_ft', unsloth)} times Unsloth in 6.6 GiB less, and "
        f"{r(lora, recomputing, offloading)} times with checkpointing.",
        f"{r(qlora, 'ray_ft', unsloth)} times Unsloth in 6.5 GiB less, {r(qlora, recomputing, offloading)} times with "
        "checkpointing; the loop adds 0.2%.",
        f"four padded examples have {slots:,.0f} token slots on average, four packed rows {full_rows:,},",
        f"The speeds' ratio of {packed / padded:.1f} is that of two sizes of step.",
        f"{filled:.3f} of the {rows.speed(lora, peft)} tokens/s that it reaches with full rows, {reckoned:,.0f}, and "
        f"packing is **{packed / reckoned:.1f} times** as fast: reckoned, not measured.",
        f"these examples fill {short['grouped by length']['filled']:.1%} of the slots, though with "
        f"{short['grouped by length']['slots_per_step']:,.0f} a step",
        f"ray_ft is {r(WITHOUT, 'LoRA: ray_ft', without('LoRA', unsloth))} times as fast as Unsloth by LoRA and "
        f"{r(WITHOUT, 'QLoRA: ray_ft', without('QLoRA', unsloth))} times by QLoRA, in 15% and 19% less memory; with "
        f"checkpointing {r(WITHOUT, without('LoRA', recomputing), without('LoRA', offloading))} times.",
        f"LoRA {rows.speed(again, 'LoRA: ray_ft')} tokens/s in {rows.gib(again, 'LoRA: ray_ft')} GiB beside Unsloth's "
        f"{rows.speed(again, without('LoRA', unsloth))} in {rows.gib(again, without('LoRA', unsloth))}, "
        f"{r(again, 'LoRA: ray_ft', without('LoRA', unsloth))} times.",
    ]


def estimator_lines() -> list[str]:
    """README's rows on predicted memory."""
    from bench.estimator.calibrate import held_out
    from bench.estimator.measurements import read_rows

    rows = held_out.read(BENCHMARKS / "estimator-held-out.csv")
    plans = [row for row in read_rows(BENCHMARKS / "plans-h200.csv") if row["outcome"] == "ok"]

    def way(name: str, kind: str) -> str:
        return ", ".join(held_out.summary(held_out.errors(rows, name, f"{kind}_bytes")).values())

    def of_plans(kind: str) -> str:
        found = [row[f"predicted_{kind}_bytes"] / row[f"measured_{kind}_bytes"] - 1 for row in plans]
        return ", ".join(held_out.summary(found).values())

    middle, most, worst = way("frozen", "allocated").split(", ")
    published = {cells[0]: cells[2] for cells in _cells(BENCHMARKS / "estimators.md")[:4]}
    return [
        f"| planned memory against 19 published runs of other stacks | {published['ray_ft']} off in the median "
        f"| LLaMA-Factory's table {published[LLAMA]}, `accelerate estimate-memory` {published[ACCELERATE]} |",
        f"| planned memory that tensors take (allocated), {len(rows)} runs of its own, 1B to 70B "
        f"| by what was predicted before each ran: {middle} off in the median, {most} in the 95th percentile, {worst} "
        f"at worst | formulas corrected by 46 of these runs: {way('in sample', 'allocated')}; then before {len(plans)} "
        f"runs of plans: {of_plans('allocated')} |",
        f"| planned memory of the device, the same runs | {way('frozen', 'device')} | by a profile without the row's "
        f"family of models {way('family held out', 'device')}; of plans {of_plans('device')} |",
        *held_out.table(rows),
    ]


BEFORE = "ray_ft before 568c3db, DeepSpeed's ZeRO-2"
LLAMA, ACCELERATE = "LLaMA-Factory's table", "accelerate estimate-memory"


def _cells(path: Path) -> list[list[str]]:
    """Rows of the page's first table, without its head."""
    lines = [line for line in path.read_text().splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:]]


def data_lines() -> list[str]:
    """README's rows on preparing data."""
    found = {(row["section"], row["row"]): row["value"] for row in read_csv(BENCHMARKS / "data.csv")}
    pdf = {name.split(":")[0].split(",")[0]: value for (section, name), value in found.items() if section == "Reading"}
    tree = {name.split(" ")[0]: value for (section, name), value in found.items() if section != "Reading"}
    return [
        f"| PDF with headings and tables, pages/s of one core | {pdf['ray_ft']} | pypdf's text alone {pdf['pypdf']}, "
        f"pdfplumber {pdf['pdfplumber']} |",
        f"| 73.1 MB of code and documents to clean tokens on two cores | {tree['ray_ft']} s | data-juicer "
        f"{tree['data-juicer']} s; datatrove {tree['datatrove']} s, for less work: no structure, no splits, no packing "
        "|",
    ]


def said(path: Path) -> str:
    """A page on one line."""
    return " ".join(path.read_text(encoding="utf-8").split())


def test_training_is_what_the_files_say() -> None:
    pages = said(REPOSITORY / "README.md") + said(TRAINING)
    assert [line for line in training_lines(Rows()) if line not in pages] == []


def test_the_estimator_is_what_the_files_say() -> None:
    pages = said(REPOSITORY / "README.md") + said(BENCHMARKS / "estimator-h200.md")
    assert [line for line in estimator_lines() if line not in pages] == []


def test_data_is_what_the_file_says() -> None:
    readme, page = said(REPOSITORY / "README.md"), said(BENCHMARKS / "data.md")
    assert [line for line in data_lines() if line not in readme] == []
    rows = read_csv(BENCHMARKS / "data.csv")
    missing = [r for r in rows if not re.search(rf"\| {re.escape(r['row'])} \|[^|\n]*(\|.*)?{r['value']} \|", page)]
    assert missing == []


def test_answers_are_what_the_files_say() -> None:
    page, readme = said(BENCHMARKS / "answers.md"), said(REPOSITORY / "README.md")
    assert [line for line in page_lines() if line not in page] == []
    assert [line for line in readme_lines() if line not in readme] == []


def test_no_row_of_readmes_table_is_without_a_file() -> None:
    made = {*training_lines(Rows()), *estimator_lines(), *data_lines(), *readme_lines()}
    text = (REPOSITORY / "README.md").read_text()
    section = text[text.index("## What it measures up to") : text.index("## What is where")]
    rows = [line for line in section.splitlines() if line.startswith("| ") and any(c.isdigit() for c in line)]
    assert len(rows) >= 10
    assert [row for row in rows if row not in made] == []


def test_the_tables_of_training_are_their_file() -> None:
    about = "What is measured"  # explains columns
    page = [row for row in table_rows(TRAINING) if row["section"] != about]
    kept = [row for row in read_csv(BENCHMARKS / "training-h200.csv") if row["table"] != "0"]
    assert page == kept


def test_every_run_has_its_command_versions_and_attention() -> None:
    runs = {row["section"]: row for row in read_csv(BENCHMARKS / "training-runs.csv")}
    assert set(runs) == {row["section"] for row in read_csv(BENCHMARKS / "training-h200.csv")}
    assert [name for name, row in runs.items() if not all(row.values())] == []  # "not recorded" where it was not
    assert {row["value"] for row in read_csv(BENCHMARKS / "data.csv") if not all(row.values())} == set()


def test_the_page_of_estimators_is_what_its_command_writes() -> None:
    from bench.estimator.compare.main import measured_runs, page
    from bench.estimator.compare.published import read_published

    made = page(read_published(), measured_runs(BENCHMARKS / "estimator-h200.csv"))
    assert (BENCHMARKS / "estimators.md").read_text() == made, "run scripts/compare_estimators"


def test_the_rows_of_the_estimator_are_what_its_command_says() -> None:
    # Without step times after calibration: fitting rates takes a minute.
    from bench.estimator.calibrate.errors import Compared, summary, table
    from bench.estimator.measurements import configuration_of, read_rows
    from bench.estimator.predict import predict

    rows = read_rows(BENCHMARKS / "estimator-h200.csv")
    compared = [Compared(row, predict(configuration_of(row), gpu="H200"), None) for row in rows]
    lines = set((BENCHMARKS / "estimator-h200.md").read_text().splitlines())
    made = [line for line in summary(compared) if "by published" not in line and "after" not in line]
    assert [line for line in made if line and line not in lines] == []
    shown = {line.rsplit("|", 2)[0] for line in lines}
    assert [line for line in table(compared) if line.rsplit("|", 2)[0] not in shown] == []


def test_what_is_held_out_and_in_sample_is_what_the_formulas_say_now() -> None:
    from bench.estimator.calibrate import held_out
    from bench.estimator.calibrate.fitting import fit_memory
    from bench.estimator.measurements import configuration_of, read_rows
    from bench.estimator.predict import predict

    good = [row for row in read_rows(BENCHMARKS / "estimator-h200.csv") if row["outcome"] == "ok"]
    kept = {row["name"]: row for row in held_out.read(BENCHMARKS / "estimator-held-out.csv")}
    assert list(kept) != []
    for row in good:
        name = held_out.family(row["model"])
        others = [r for r in good if held_out.family(r["model"]) != name]
        for way, some in (("family held out", others), ("in sample", good)):
            made = predict(configuration_of(row), gpu="H200", profile=fit_memory(some, gpu="H200"))
            for kind in ("allocated_bytes", "device_bytes"):
                assert int(kept[row["name"]][f"{way} {kind}"]) == made[f"predicted_{kind}"], (row["name"], way, kind)
        assert int(kept[row["name"]]["frozen allocated_bytes"]) == row["predicted_allocated_bytes"]


def test_a_changed_figure_is_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(TRAINING.read_text().replace("| **19,372** |", "| **19,373** |"))
    kept = [row for row in read_csv(BENCHMARKS / "training-h200.csv") if row["table"] != "0"]
    differing = [r for r in table_rows(page) if r["section"] != "What is measured" and r not in kept]
    assert [r["value"] for r in differing] == ["19,373"]


def test_speeds_in_turns_are_those_of_the_file() -> None:
    rows = read_csv(BENCHMARKS / "turns-h200.csv")
    page = (BENCHMARKS / "turns-h200.md").read_text()
    for name, part in (("LoRA", "lora"), ("QLoRA", "qlora")):
        of_part = [row for row in rows if row["part"] == part]
        of_commit = {row["commit"]: [] for row in of_part}
        for row in of_part:
            of_commit[row["commit"]].append(f"{float(row['tokens_per_second']):,.0f}")
        assert f"| {name} | {' | '.join(', '.join(speeds) for speeds in of_commit.values())} |" in page
    least_and_most = {gib for row in rows if (gib := row["peak_gib"])}
    assert least_and_most == {"36.54", "27.61"}


def test_what_tuning_cost_is_what_the_file_says(scripts: None) -> None:
    from bench.evaluation.forgetting import page, read

    rows = read(BENCHMARKS / "forgetting.jsonl")
    assert (BENCHMARKS / "forgetting.md").read_text() == page(rows)
    assert {row["run"] for row in rows if "report" in row} == {"overfit", "replay", "rehearsal"}


def test_two_gpus_say_what_their_files_say() -> None:
    page = (BENCHMARKS / "several-gpus.md").read_text()
    for table in (
        losses_table(BENCHMARKS / "several-gpus-losses.jsonl"), memory_table(BENCHMARKS / "several-gpus-memory.csv"),
    ):  # fmt: skip
        assert "\n".join(table) in page


def test_the_page_on_graded_examples_has_what_the_grades_say() -> None:
    page = (BENCHMARKS / "examples.md").read_text().splitlines()
    assert not [line for line in (*graded_lines(), *pattern_lines()) if line not in page]
