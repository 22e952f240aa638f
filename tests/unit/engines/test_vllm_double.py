"""The engine on vLLM, over a double of it: what it is asked, what becomes of its outputs, adapters that come and go."""

import asyncio
import json
import math
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import fake_vllm
import pytest
from fake_vllm import AsyncLLM, RequestOutputKind
from random_adapter import write_random_adapter

from ray_ft.engines import GenerateRequest, TextDelta, VLLMEngine, WriteRequest
from ray_ft.engines.vllm import loop as engine_loop
from ray_ft.engines.vllm.model import VLLMModel
from ray_ft.engines.vllm.turns import Turns
from ray_ft.errors import GenerationError, MissingDependencyError, ModelError

SECONDS = 20.0  # no wait takes that long; a test that would wait for ever ends


@pytest.fixture(scope="session")
def adapters(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("adapters")
    return {
        "support.v1": write_random_adapter(tiny_model_path, folder / "support", r=4, seed=1),
        "code": write_random_adapter(tiny_model_path, folder / "code", r=24, seed=2),
    }


@pytest.fixture(autouse=True)
def _vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    fake_vllm.install(monkeypatch)


@pytest.fixture
def model(tiny_model_path: str, adapters: dict[str, str]) -> Iterator[VLLMModel]:
    loaded = VLLMEngine().load(tiny_model_path, adapters)
    assert isinstance(loaded, VLLMModel)
    yield loaded
    loaded.close()


def double() -> AsyncLLM:
    """The vLLM of the model that was loaded last."""
    return AsyncLLM.made[-1]


def in_loop(model: VLLMModel, work: Callable[[], Any]) -> Any:
    """Do something in the loop's thread, where the double lives."""

    async def done() -> Any:
        return work()

    return model._running._thread.call(done())


class Delivered:
    """What was delivered of one answer."""

    def __init__(self) -> None:
        self.items: list[TextDelta | Exception] = []
        self.first, self.ended = threading.Event(), threading.Event()

    def __call__(self, item: TextDelta | Exception) -> None:
        self.items.append(item)
        self.first.set()
        if isinstance(item, Exception) or item.finish_reason is not None:
            self.ended.set()


def test_it_is_started_for_the_ranks_of_the_adapters_and_without_a_network(
    model: VLLMModel, tiny_model_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    args = double().args
    assert (args.model, args.tokenizer) == (tiny_model_path, tiny_model_path)
    # ranks are 4 and 24, and vLLM has 32 above them
    assert (args.enable_lora, args.max_loras, args.max_lora_rank) == (True, 16, 32)
    assert (args.tensor_parallel_size, args.distributed_executor_backend) == (1, "uni")
    assert args.max_model_len == -1
    assert double().loaded == {1: "support.v1#1", 2: "code#2"}
    assert model.status().adapters == ("support.v1", "code")
    assert (model.max_seq_len, model.status().cache_tokens) == (2048, 1600)


def test_settings_and_options_reach_vllm(tiny_model_path: str) -> None:
    engine = VLLMEngine(
        dtype="float16", quantization="nf4", tensor_parallel=4, gpu_memory_fraction=0.5, max_adapters=0,
        max_seq_len=512, batch_size=7, eager=True, options={"max_logprobs": 5},
    )  # fmt: skip
    model = engine.load(tiny_model_path, {})
    args = double().args
    assert (args.dtype, args.quantization, args.gpu_memory_utilization) == ("float16", "bitsandbytes", 0.5)
    assert (args.tensor_parallel_size, args.distributed_executor_backend) == (4, "mp")
    assert (args.enable_lora, args.max_model_len, args.max_num_seqs, args.enforce_eager) == (False, 512, 7, True)
    assert model.max_seq_len == 512
    assert engine.num_gpus == 4
    with pytest.raises(GenerationError, match="num_logprobs is 6; it must be at most 5"):
        model.generate([GenerateRequest("a", num_logprobs=6)])
    with pytest.raises(ModelError, match=r"engine\.max_adapters is 0"):
        model.load_adapter("x", "anywhere")
    model.close()


def test_environment_variables_are_set_where_the_user_has_set_none(
    tiny_model_path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import os

    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    for name in ("VLLM_NO_USAGE_STATS", "VLLM_WORKER_MULTIPROC_METHOD", "VLLM_USE_FLASHINFER_SAMPLER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    VLLMEngine(max_adapters=0).load(tiny_model_path, {}).close()
    assert os.environ["VLLM_NO_USAGE_STATS"] == "1"
    assert os.environ["VLLM_WORKER_MULTIPROC_METHOD"] == "spawn"
    assert os.environ["VLLM_USE_FLASHINFER_SAMPLER"] == "0"
    assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"


def test_every_field_of_a_request_reaches_vllm(model: VLLMModel) -> None:
    ids = tuple(model.prompt_ids("What does join do?"))
    request = GenerateRequest(
        ids, adapter="code", max_new_tokens=3, temperature=0.7, top_p=0.9, top_k=5, min_p=0.1, stop=("never", ""),
        seed=-1, repetition_penalty=1.1, presence_penalty=0.2, frequency_penalty=0.3, logit_bias=((7, 2.5),),
        num_logprobs=2, is_background=True,
    )  # fmt: skip
    model.generate([request])
    params, lora, priority = double().seen[-1]
    assert (params.max_tokens, params.temperature, params.top_p, params.top_k, params.min_p) == (3, 0.7, 0.9, 5, 0.1)
    assert params.seed == 2**63 - 1  # any whole number is a seed
    assert params.stop == ["never"]
    assert not params.include_stop_str_in_output
    assert (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) == (1.1, 0.2, 0.3)
    assert (params.logit_bias, params.logprobs) == ({7: 2.5}, 2)
    assert params.output_kind is RequestOutputKind.FINAL_ONLY
    assert sorted(params.stop_token_ids) == sorted(model._prompts.end_ids)
    assert not params.ignore_eos
    assert (lora.lora_name, lora.lora_int_id) == ("code#2", 2)
    assert priority >= 2**48
    list(model.stream(GenerateRequest(ids, max_new_tokens=2, ignore_end=True)))
    params, lora, priority = double().seen[-1]
    assert (params.seed, params.stop_token_ids, params.ignore_eos, lora) == (None, [], True, None)
    assert params.output_kind is RequestOutputKind.DELTA
    assert priority < 2**48


def test_text_arrives_in_pieces_that_join_to_the_whole(model: VLLMModel) -> None:
    request = GenerateRequest("def lock", adapter="support.v1", max_new_tokens=9)
    whole = model.generate([request])[0]
    pieces = list(model.stream(request))
    assert len(pieces) > 1
    assert "".join(piece.text for piece in pieces) == whole.text
    assert sum(len(piece.token_ids) for piece in pieces) == whole.num_completion_tokens == 9
    assert [piece.num_completion_tokens for piece in pieces] == list(range(1, 10))
    assert [piece.finish_reason for piece in pieces] == [None] * 8 + ["length"]
    assert whole.num_prompt_tokens == len(model.prompt_ids("def lock"))


def test_a_token_that_ends_an_answer_is_counted_and_is_no_part_of_it(
    model: VLLMModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = GenerateRequest("def lock", max_new_tokens=9, num_logprobs=0)
    ids = [i for piece in model.stream(request) for i in piece.token_ids]
    monkeypatch.setattr(model._prompts, "end_ids", frozenset({ids[4]}))
    pieces = list(model.stream(request))
    assert [i for piece in pieces for i in piece.token_ids] == ids[:4]
    assert (pieces[-1].finish_reason, pieces[-1].num_completion_tokens) == ("stop", 5)
    assert sum(len(piece.logprobs) for piece in pieces) == 5


def test_a_stop_string_stays_out_of_the_answer(model: VLLMModel) -> None:
    whole = model.generate([GenerateRequest("def lock", max_new_tokens=12)])[0].text
    stop = whole[6:9]
    result = model.generate([GenerateRequest("def lock", max_new_tokens=12, stop=(stop,))])[0]
    assert (result.text, result.finish_reason) == (whole[: whole.index(stop)], "stop")


def test_log_probabilities_come_with_every_token_the_likeliest_first(model: VLLMModel) -> None:
    request = GenerateRequest("def lock", max_new_tokens=4, num_logprobs=2)
    result = model.generate([request])[0]
    assert len(result.logprobs) == 4
    for told in result.logprobs:
        i = told.token_id
        assert (told.logprob, told.token) == (-2.0, model.detokenize([i]))
        assert [(k, v) for k, _, v in told.top] == [(i + 1, -0.1), (i + 2, -0.2)]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt": ()}, "the prompt is empty"),
        ({"prompt": (10**7,)}, "the prompt has token id 10000000; ids are 0 to 4095"),
        ({"prompt": "x", "max_new_tokens": 0}, "max_new_tokens is 0"),
        ({"prompt": "x", "top_p": 0.0}, "vLLM refuses the request: top_p must be"),
        ({"prompt": "x", "presence_penalty": 3.0}, "vLLM refuses the request: presence_penalty"),
        ({"prompt": "x", "logit_bias": ((-1, 1.0),)}, "logit_bias has token id -1"),
        ({"prompt": "x", "adapter": "nobody"}, r"no adapter 'nobody' is loaded; loaded are: support\.v1, code"),
        ({"prompt": " lock" * 3000}, "3000 tokens.*context of 2048"),
    ],
)
def test_what_cannot_be_answered_is_refused_before_vllm_sees_it(
    model: VLLMModel, options: dict[str, Any], message: str
) -> None:
    with pytest.raises(GenerationError, match=message):
        model.submit(GenerateRequest(**options), Delivered())
    assert double().seen == []
    assert model.status().num_running == 0


def test_a_schema_is_kept_to_by_vllm_and_a_wrong_one_is_refused(model: VLLMModel) -> None:
    pytest.importorskip("llguidance")
    schema = json.dumps({"type": "object", "properties": {"a": {"type": "string"}}})
    model.generate([GenerateRequest("x", max_new_tokens=2, schema=schema)])
    assert double().seen[-1][0].structured_outputs.json == schema
    assert double().args.structured_outputs_config.disable_any_whitespace
    with pytest.raises(GenerationError, match="cannot be kept to"):
        model.generate([GenerateRequest("x", schema='{"type": "nothing"}')])


def hold(model: VLLMModel) -> asyncio.Semaphore:
    """From now on vLLM makes a token for each permit."""

    def make() -> asyncio.Semaphore:
        double().steps = asyncio.Semaphore(0)
        return double().steps  # type: ignore[return-value]

    return in_loop(model, make)  # type: ignore[no-any-return]


def test_a_cancelled_answer_is_aborted_and_delivers_nothing_more(model: VLLMModel) -> None:
    permits = hold(model)
    delivered = Delivered()
    cancel = model.submit(GenerateRequest("def lock", adapter="code"), delivered)
    in_loop(model, permits.release)
    assert delivered.first.wait(SECONDS)
    cancel()
    while model.status().num_running:
        in_loop(model, lambda: None)
    assert [what for what, _ in double().log][-1] == "abort"
    assert len(delivered.items) == 1
    cancel()  # and again, when it is long done


def test_an_answer_that_is_cancelled_at_once_does_not_reach_vllm(model: VLLMModel) -> None:
    blocked = threading.Event()
    model._running._thread.soon(blocked.wait, SECONDS)
    cancel = model.submit(GenerateRequest("def lock", adapter="code"), Delivered())
    cancel()
    blocked.set()
    while model.status().num_running:
        in_loop(model, lambda: None)
    assert double().seen == []
    model.unload_adapter("code")
    in_loop(model, lambda: None)
    assert ("remove_lora", 2) in double().log


def test_open_answers_end_in_an_error_when_the_model_is_closed(model: VLLMModel) -> None:
    hold(model)
    delivered = Delivered()
    model.submit(GenerateRequest("def lock"), delivered)
    model.close()
    assert [str(item) for item in delivered.items] == ["the model was closed"]
    assert [what for what, _ in double().log][-2:] == ["abort", "shutdown"]
    with pytest.raises(GenerationError, match="the model was closed"):
        model.status()
    with pytest.raises(GenerationError, match="the model was closed"):
        model.submit(GenerateRequest("def lock"), delivered)


def test_a_dead_engine_ends_answers_and_fails_the_health_check(model: VLLMModel) -> None:
    permits = hold(model)
    delivered = Delivered()
    model.submit(GenerateRequest("def lock"), delivered)

    def die() -> None:
        double().errored = True
        permits.release()

    in_loop(model, die)
    assert delivered.ended.wait(SECONDS)
    assert isinstance(delivered.items[0], GenerationError)
    for ask in (model.status, lambda: model.submit(GenerateRequest("x"), delivered)):
        with pytest.raises(GenerationError, match="the engine has stopped: EngineCore encountered an issue"):
            ask()


def test_an_adapter_goes_with_the_last_answer_that_began_with_it(model: VLLMModel) -> None:
    permits = hold(model)
    delivered = Delivered()
    model.submit(GenerateRequest("def lock", adapter="code", max_new_tokens=3), delivered)
    in_loop(model, permits.release)
    assert delivered.first.wait(SECONDS)
    model.unload_adapter("code")
    in_loop(model, lambda: None)
    assert ("remove_lora", 2) not in double().log
    with pytest.raises(GenerationError, match="no adapter 'code'"):
        model.submit(GenerateRequest("x", adapter="code"), Delivered())
    in_loop(model, lambda: [permits.release() for _ in range(2)])
    assert delivered.ended.wait(SECONDS)
    while ("remove_lora", 2) not in double().log:
        in_loop(model, lambda: None)
    assert model.status().adapters == ("support.v1",)
    model.unload_adapter("code")  # unknown by now


def test_an_adapter_of_the_same_name_is_another_for_vllm(model: VLLMModel, adapters: dict[str, str]) -> None:
    with pytest.raises(GenerationError, match="'code' is loaded already"):
        model.load_adapter("code", adapters["code"])
    model.unload_adapter("code")
    model.load_adapter("code", adapters["code"])
    model.generate([GenerateRequest("x", adapter="code", max_new_tokens=1)])
    lora = double().seen[-1][1]
    assert lora is not None
    assert (lora.lora_name, lora.lora_int_id) == ("code#3", 3)


def changed(adapters: dict[str, str], folder: Path, **changes: Any) -> str:
    """A copy of an adapter that says other things of itself."""
    copy = Path(shutil.copytree(adapters["code"], folder / "copy"))
    config = json.loads((copy / "adapter_config.json").read_text())
    (copy / "adapter_config.json").write_text(json.dumps(config | changes))
    return str(copy)


@pytest.mark.parametrize(
    "changes",
    [
        {"use_dora": True},
        {"modules_to_save": ["lm_head"]},
        {"trainable_token_indices": [1]},
        {"alpha_pattern": {"q": 1}},
    ],
)
def test_an_adapter_that_vllm_would_get_wrong_is_refused(
    tiny_model_path: str, adapters: dict[str, str], tmp_path: Path, changes: dict[str, Any]
) -> None:
    folder = changed(adapters, tmp_path, **changes)
    with pytest.raises(ModelError, match=rf"'x'.*trained with {next(iter(changes))}.*engine\.name=transformers"):
        VLLMEngine().load(tiny_model_path, {"x": folder})
    assert AsyncLLM.made == []
    if "alpha_pattern" not in changes:  # which depends on the version where it is loaded
        with pytest.raises(ModelError, match="transformers"):
            VLLMEngine().check(tiny_model_path, {"x": folder})


def test_patterns_are_fine_with_a_vllm_that_heeds_them(
    tiny_model_path: str, adapters: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fake_vllm.install(monkeypatch, "0.33.0")
    folder = changed(adapters, tmp_path, alpha_pattern={"q_proj": 3})
    VLLMEngine().load(tiny_model_path, {"x": folder}).close()
    with pytest.raises(ModelError, match=r"quantization=nf4 is not in vLLM 0\.33\.0"):
        VLLMEngine(quantization="nf4").load(tiny_model_path, {})


def test_adapters_pass_the_strict_gate(tiny_model_path: str, adapters: dict[str, str], tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = Path(shutil.copytree(adapters["code"], tmp_path / "copy"))
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({k.replace("layers", "blocks"): v for k, v in weights.items()}, folder / "adapter_model.safetensors")
    with pytest.raises(ModelError, match="keys missing"):
        VLLMEngine().load(tiny_model_path, {"x": str(folder)})
    save_file(
        {k: v[:, :-1].contiguous() if "lora_A" in k else v for k, v in weights.items()},
        folder / "adapter_model.safetensors",
    )
    with pytest.raises(ModelError, match="size mismatch"):
        VLLMEngine().load(tiny_model_path, {"x": str(folder)})
    (folder / "adapter_config.json").unlink()
    with pytest.raises(ModelError, match=r"no adapter_config\.json"):
        VLLMEngine().load(tiny_model_path, {"x": str(folder)})


def test_a_rank_beyond_the_room_is_refused_with_the_setting(
    model: VLLMModel, tiny_model_path: str, tmp_path: Path
) -> None:
    large = write_random_adapter(tiny_model_path, tmp_path / "large", r=40, seed=3)
    with pytest.raises(ModelError, match=r"rank 40.*for 32; set engine\.max_adapter_rank=40"):
        model.load_adapter("large", large)
    with pytest.raises(ModelError, match="rank 600 is more than vLLM's 512"):
        VLLMEngine(max_adapter_rank=600).load(tiny_model_path, {})


def test_scoring_asks_for_every_token_in_windows(model: VLLMModel, monkeypatch: pytest.MonkeyPatch) -> None:
    # The double says -0.5 of every token of a prompt, so a text costs half a nat for each of its tokens.
    text = "def release(lock): return lock.release()"
    num_tokens = len(model._prompts.encode_content(text))
    long = " lock" * 5000
    num_long = len(model._prompts.encode_content(long))
    found = model.negative_log_likelihood([text, "", long], adapter="support.v1")
    assert found == [num_tokens / 2, 0.0, num_long / 2]
    params, lora, _ = double().seen[0]
    assert (params.prompt_logprobs, params.max_tokens, params.detokenize) == (0, 1, False)
    assert lora is not None
    assert lora.lora_name == "support.v1#1"
    with pytest.raises(GenerationError, match="no adapter 'nobody'"):
        model.negative_log_likelihood([text], adapter="nobody")


def test_what_a_prompts_tokens_cost_is_told_beside_likelier_ones(model: VLLMModel) -> None:
    [told] = model.prompt_logprobs([model.prompt_ids("def release")], adapter=None, num_logprobs=1)
    assert math.isnan(told[0].logprob)
    assert [(token.logprob, token.top) for token in told[1:]] == [
        (-0.5, ((token.token_id, token.token, -0.5),)) for token in told[1:]
    ]
    assert double().seen[0][0].prompt_logprobs == 1
    with pytest.raises(GenerationError, match="num_logprobs is 21; it must be at most 20"):
        model.prompt_logprobs([[10, 11]], adapter=None, num_logprobs=21)


def test_pieces_gather_while_many_answers_are_open(model: VLLMModel, monkeypatch: pytest.MonkeyPatch) -> None:
    waited = []

    async def sleep(seconds: float) -> None:
        waited.append(seconds)

    monkeypatch.setattr(engine_loop.asyncio, "sleep", sleep)
    request = GenerateRequest("def lock", max_new_tokens=3)
    delivered = [Delivered() for _ in range(engine_loop.BUSY + 1)]
    permits = hold(model)
    for one in delivered:
        model.submit(request, one)
    in_loop(model, lambda: [permits.release() for _ in range(3 * len(delivered))])
    assert all(one.ended.wait(SECONDS) for one in delivered)
    assert waited
    assert set(waited) == {engine_loop.SECONDS_BETWEEN_PIECES}


def test_a_start_that_fails_says_what_may_help(tiny_model_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(AsyncLLM, "refuse_to_start", "Engine core initialization failed. See root cause above.\nmore")
    before = threading.active_count()
    with pytest.raises(ModelError, match=r"does not start: Engine core.*engine\.tensor_parallel") as refused:
        VLLMEngine().load(tiny_model_path, {})
    assert "\n" not in str(refused.value)
    assert threading.active_count() == before


def test_where_vllm_is_missing_the_command_is_named(tiny_model_path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ray_ft.engines.vllm.versions.is_installed", lambda: False)
    with pytest.raises(MissingDependencyError, match=r"pip install 'ray_ft\[vllm\]' -c constraints-vllm\.txt"):
        VLLMEngine().load(tiny_model_path, {})
    fake_vllm.install(monkeypatch, "0.11.2")
    monkeypatch.setattr("ray_ft.engines.vllm.versions.is_installed", lambda: True)
    with pytest.raises(MissingDependencyError, match=r"0\.26 or newer, this is 0\.11\.2"):
        VLLMEngine().load(tiny_model_path, {})


def test_it_writes_data_without_room_for_adapters(tiny_model_path: str) -> None:
    writer = VLLMEngine().load_writer(tiny_model_path)
    requests = [WriteRequest(q, max_new_tokens=4) for q in ("What?", " lock" * 10_000, "Why?")]
    written = dict(writer.write(requests))
    assert written[1].error == "the prompt is longer than the model's context"
    assert written[0].text
    assert written[2].text
    assert not double().args.enable_lora


def test_lines_take_turns_by_the_tokens_they_ask_for() -> None:
    turns = Turns()
    greedy, modest = GenerateRequest("x", tenant="a"), GenerateRequest("x", tenant="b")
    assert [turns.take(greedy, 100) for _ in range(3)] == [0, 100, 200]
    assert [turns.take(modest, 10) for _ in range(3)] == [0, 10, 20]
    turns.begin(100)
    assert turns.take(modest, 10) == 100  # what it did not ask for while it was silent is not saved up
    assert turns.take(GenerateRequest("x", adapter="other"), 5) == 100
    assert turns.take(GenerateRequest("x", is_background=True), 5) == 2**48 + 100
    for _ in range(9):
        turns.end()
    assert turns.take(greedy, 1) == 0
