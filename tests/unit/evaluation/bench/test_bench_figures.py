"""What a bench says of its repeats and variants, and the pages that say it: nothing is loaded here."""

import dataclasses
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from exam_fixtures import tuned_model

from ray_ft.artifacts import Bench, Score, load, save
from ray_ft.artifacts.bench import Speed, Timing, Variant
from ray_ft.config import BenchConfig, parse_config
from ray_ft.engines import OpenAIEngine, TransformersEngine, VLLMEngine
from ray_ft.errors import ConfigError
from ray_ft.evaluation.bench.figures import alike, timing
from ray_ft.evaluation.bench.page import render_html, render_markdown, render_table
from ray_ft.evaluation.bench.variants import engine_of, loads_of

VOID = ("meta", "br")


def test_the_interval_of_a_median_is_between_its_order_statistics() -> None:
    # 1 - 2 / 2^6 = 96.9% for the least and the most of six; the second and the fifth have 1 - 2 * 7 / 64 = 78%.
    assert timing([5.0, 1.0, 3.0, 2.0, 6.0, 4.0]) == Timing(3.5, 1.0, 6.0, (5.0, 1.0, 3.0, 2.0, 6.0, 4.0))
    # 1 - 2 * (1 + 9) / 2^9 = 96.1% for the second and the eighth of nine.
    made = timing([float(i) for i in range(9)])
    assert (made.median, made.low, made.high) == (4.0, 1.0, 7.0)


def test_answers_are_alike_from_their_beginning() -> None:
    # 4 of 6 characters, 0 of 3, all
    assert alike(["abcdxy", "xyz", ""], ["abcd", "abc", ""]) == (1, pytest.approx((4 / 6 + 0 + 1) / 3))


def test_what_cannot_be_measured_says_why(tmp_path: Path) -> None:
    whole = tuned_model(tmp_path, is_adapter=False)
    adapter = dataclasses.replace(whole, is_adapter=True)
    bench = BenchConfig(quantizations=("none", "int8"))

    def said(engine: TransformersEngine | VLLMEngine, tuned: object, **settings: str) -> dict[str, str]:
        loads = loads_of(bench, engine, base_path="b", tuned=tuned, dtype="float32", **settings)  # type: ignore[arg-type]
        return {load.name: load.refused for load in loads}

    of_base = said(TransformersEngine(), None)
    assert list(of_base) == ["fp32 base", "fp32 adapter", "fp32 merged", "int8 base", "int8 adapter", "int8 merged"]
    assert of_base["fp32 base"] == of_base["int8 base"] == ""
    assert of_base["fp32 adapter"] == "the run has no tuned model yet: `ray-ft train CONFIG` makes one"
    of_whole = said(TransformersEngine(), whole)
    assert (of_whole["fp32 merged"], of_whole["fp32 adapter"][:24]) == ("", "full made a whole model,")
    assert said(TransformersEngine(), adapter, merge_refused="its base is quantised")["int8 merged"] == (
        "its base is quantised"
    )
    of_vllm = said(VLLMEngine(), adapter)
    assert of_vllm["int8 base"] == "vllm holds weights as none, fp8, nf4"
    assert of_vllm["fp32 adapter"] == ""


def test_each_variant_loads_what_it_is_called(tmp_path: Path) -> None:
    tuned = tuned_model(tmp_path)
    loads = loads_of(
        BenchConfig(), TransformersEngine(), base_path="base", tuned=tuned, merged_path="merged", dtype="bfloat16"
    )
    found = [(x.name, x.model_path, dict(x.adapters), x.engine.quantization, x.engine.batch_size) for x in loads]  # type: ignore[attr-defined]
    assert found[0] == ("bf16 base", "base", {}, "none", 8)
    assert found[4] == ("int8 adapter", "base", {"tuned": tuned.path}, "int8", 8)
    assert found[8] == ("nf4 merged", "merged", {}, "nf4", 8)


def test_an_engine_without_weights_of_its_own_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"engine\.name: openai holds no weights here; bench measures"):
        engine_of(OpenAIEngine())


@pytest.mark.parametrize(
    ("key", "said"),
    [("repeats=5", "bench.repeats: 5 must be at least 6"), ("new_tokens=1", "bench.new_tokens: 1 must be at least 2"),
     ("forms=[]", r"bench.forms: \[\] must be a list"), ("forms=[base,base]", "each named once"),
     ("quantizations=[nf4,int2]", "config: bench.quantizations: Invalid value 'int2', expected one of")],
)  # fmt: skip
def test_a_bench_that_cannot_be_is_named_by_its_key(key: str, said: str) -> None:
    raw = {"run_name": "r", "model": {"name": "m"}, "data": {"sources": ["s"], "recipes": ["heading"]}}
    with pytest.raises(ConfigError, match=said):
        parse_config(raw, [f"bench.{key}"])


def test_what_is_measured_changes_no_other_artifact(tmp_path: Path) -> None:
    from ray_ft import artifacts
    from ray_ft.api.fingerprints import bench_inputs, data_inputs, evaluation_inputs

    raw = {"run_name": "r", "model": {"name": "m"}, "data": {"sources": ["s"], "recipes": ["heading"]}}
    one, other = parse_config(raw), parse_config(raw, ["bench.repeats=9"])
    tuned = tuned_model(tmp_path)
    assert data_inputs(one) == data_inputs(other)
    assert evaluation_inputs(one, tuned) == evaluation_inputs(other, tuned)
    before, now = (artifacts.to_json(bench_inputs(config, None, tuned)) for config in (one, other))
    assert artifacts.changed_keys(before, now) == ["bench.repeats: 6 -> 9"]


def times(middle: float) -> Timing:
    return Timing(middle, middle * 0.9, middle * 1.2, (middle,) * 6)


def variant(name: str, *, each: float, same: int, recall: float | None = 0.5, dollars: float | None = None) -> Variant:
    quality = None if recall is None else Score(name, "key_fact_recall", recall, recall - 0.1, recall + 0.1, 40)
    return Variant(
        name, name.split()[1], "transformers", "", 12.3,
        {"loaded": 13 * 2**30, "peak": 15 * 2**30, "load_peak": 14 * 2**30, "reserved_for_cache": 2**30},
        (Speed(1, times(0.02), times(each), times(1 / each)),
         Speed(8, times(0.1), times(each), times(8 / each), dollars)),
        quality, 40, same, same / 40, "bf16 base", 0.25,
    )  # fmt: skip


def bench_of(*variants: Variant) -> Bench:
    return Bench("a <b> & c", "NVIDIA H200", variants, 128, 32, 6, 40, "bytes of GPU memory", "f" * 16, "bench.html",
                 ("Intervals are over repeats.",))  # fmt: skip


BENCH = bench_of(
    variant("bf16 base", each=0.0123, same=40), variant("int8 merged", each=0.0987, same=31, recall=0.47),
    Variant("nf4 base", "base", "transformers", "needs bitsandbytes: pip install <it>"),
)  # fmt: skip


def test_the_table_says_all_of_it_in_80_columns() -> None:
    text = render_table(BENCH, page="outputs/run/bench.html")
    assert max(map(len, text.splitlines())) <= 80
    assert re.search(r"bf16 base +20\.0 \[18\.0, 24\.0\] +12\.3 \[11\.1, 14\.8\] +12\.3 \[11\.1, 14\.8\] +650\n", text)
    assert re.search(r"int8 merged +12\.3 +13\.0 +15\.0 +47% \[37, 57\] +31 of 40\n", text)
    assert "nf4 base: not measured: needs bitsandbytes: pip install <it>" in text


class Tags(HTMLParser):
    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: set[str] = set()
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        assert not [k for k, _ in attrs if k in ("src", "href") or k.startswith("on")]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_needs_nothing_else_and_draws_what_was_measured() -> None:
    html = render_html(BENCH)
    tags = Tags(html)
    assert tags.open == []
    assert "svg" in tags.seen
    assert not tags.seen & {"b", "it", "script", "link", "img"}
    # 0 to 125 milliseconds, as 118.4 are the most, over the 518 pixels from 52 on; shares from 256 up to 12.
    assert f'cx="{52 + 518 * 98.7 / 125:.1f}" cy="{256 - 244 * 0.47:.1f}"' in html
    assert "$ per million" not in html
    priced = dataclasses.replace(BENCH, variants=(variant("bf16 base", each=0.01, same=40, dollars=4.5),))
    assert "$ per million" in render_html(priced)
    assert len(re.findall(r"^\|---.*\n\| bf16 base \|", render_markdown(priced), re.M)) == 2  # both are whole tables
    assert "4.50" in render_markdown(priced)


def test_without_an_exam_there_is_still_a_page() -> None:
    bare = dataclasses.replace(variant("fp32 base", each=0.01, same=0, recall=None), num_answers=0, same_as="")
    assert "<svg" not in render_html(bench_of(bare))
    assert "fp32 base" in render_table(bench_of(bare), page="p")


def test_a_bench_survives_its_json_form(tmp_path: Path) -> None:
    save(BENCH, tmp_path)
    assert load(Bench, tmp_path) == BENCH
    assert BENCH.version == 1
