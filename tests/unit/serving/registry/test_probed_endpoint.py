"""An endpoint over the real engine: the proof at loading, and adapters that come and go under load."""

import asyncio
import gc
import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from probed_adapter import write_probed_adapter
from random_adapter import write_random_adapter

from ray_ft.config import ServingConfig
from ray_ft.engines import GenerateRequest, LoadedModel, TransformersEngine
from ray_ft.serving.api.registry_api import registry_api
from ray_ft.serving.registry.desk import Desk
from ray_ft.serving.registry.registry import create
from ray_ft.serving.replica.loading import AdapterReplica

BASE = "builtin:tiny"
NUM_ADAPTERS = 8
NEW_TOKENS = 8
PROMPTS = ["def release(", "The lock", "日本語"]


@pytest.fixture(scope="module")
def folders(tiny_model_path: str, tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    folder = tmp_path_factory.mktemp("runs")
    return [
        write_random_adapter(tiny_model_path, folder / f"a{i}", seed=i, r=4 + 4 * (i % 3)) for i in range(NUM_ADAPTERS)
    ]


@pytest.fixture(scope="module")
def model(tiny_model_path: str) -> Iterator[LoadedModel]:
    model = TransformersEngine(max_adapters=4).load(tiny_model_path, {})
    yield model
    model.close()


class Live:
    """An endpoint in this loop."""

    def __init__(self, model: LoadedModel, base_path: str, folder: Path, root: Path, adapters: dict[str, str]) -> None:
        (folder / "endpoint").mkdir(parents=True)
        self.registry = create(folder / "endpoint", base_path=base_path, base_name=BASE, adapters=adapters)
        self.replica = AdapterReplica(model, self.registry.folder, max_new_tokens=64)
        desk = Desk(self.registry, self.replica, ServingConfig(), roots=[root])
        api = registry_api(desk, desk, watch={})
        self.http = httpx.AsyncClient(transport=httpx.ASGITransport(app=api), base_url="http://endpoint", timeout=120)

    async def complete(self, model: str, prompt: str, **fields: Any) -> dict[str, Any]:
        body = {"model": model, "prompt": prompt, "max_tokens": NEW_TOKENS, **fields}
        response = await self.http.post("/v1/completions", json=body)
        assert response.status_code == 200, response.text
        answer: dict[str, Any] = response.json()
        return answer

    async def admin(self, action: str, **body: Any) -> httpx.Response:
        return await self.http.post(f"/v1/{action}_lora_adapter", json=body)


# --- the proof --------------------------------------------------------------------------------------------------------


def test_what_is_served_is_proved_to_be_what_was_trained(
    model: LoadedModel, tiny_model_path: str, tmp_path: Path
) -> None:
    root = tmp_path / "runs"
    sound = write_probed_adapter(tiny_model_path, root / "sound", seed=1)
    other = write_probed_adapter(tiny_model_path, root / "other", seed=2)
    swapped = shutil.copytree(sound, root / "swapped")
    shutil.copy(f"{other}/adapter_model.safetensors", swapped)  # weights of another run, with the proof of this one
    scaled = Path(shutil.copytree(sound, root / "scaled"))
    config = json.loads((scaled / "adapter_config.json").read_text())
    (scaled / "adapter_config.json").write_text(json.dumps(config | {"lora_alpha": 4 * config["lora_alpha"]}))
    damaged = Path(write_random_adapter(tiny_model_path, root / "damaged", seed=3))
    (damaged / "probe.json").write_text("{")

    async def run() -> dict[str, dict[str, Any]]:
        live = Live(model, tiny_model_path, tmp_path / "store", root, {})
        for name in ("sound", "swapped", "scaled", "damaged"):
            await live.admin("load", lora_name=name, lora_path=name)
        rows = {n: (await live.http.get(f"/v1/adapters/{n}")).json()["versions"][0] for n in live.registry.ids[1:]}
        refused = await live.http.post("/v1/completions", json={"model": "scaled", "prompt": "x"})
        assert refused.json()["error"]["code"] == "adapter_not_ready"
        live.replica.residency.close()
        return rows

    rows = asyncio.run(run())
    assert {name: row["state"] for name, row in rows.items()} == {
        "sound": "ready", "swapped": "failed", "scaled": "failed", "damaged": "failed",
    }  # fmt: skip
    assert rows["sound"]["probe"]["passed"]
    assert rows["sound"]["probe"]["mean_difference"] < 1e-4
    assert "weights are not those" in rows["swapped"]["reason"]
    assert "does not answer as it did when it was trained" in rows["scaled"]["reason"]
    assert not rows["scaled"]["probe"]["passed"]
    assert "probe.json is damaged" in rows["damaged"]["reason"]
    assert len(model.status().adapters) == 1  # none that was refused
    model.unload_adapter(model.status().adapters[0])


# --- under load -------------------------------------------------------------------------------------------------------


def solo(model: LoadedModel, names: list[str | None]) -> dict[tuple[str | None, str], str]:
    """What each answers by itself."""
    return {
        (name, prompt): model.generate([GenerateRequest(prompt, adapter=name, max_new_tokens=NEW_TOKENS)])[0].text
        for name in names
        for prompt in PROMPTS
    }


def cycles_under_load(
    model: LoadedModel, base_path: str, folders: list[str], tmp_path: Path, *, num_cycles: int, num_clients: int = 4,
    measure: Callable[[int], None] = lambda cycle: None,
) -> int:  # fmt: skip
    """Load and unload adapters while others are asked; returns the number of answers, all of them right."""
    for i, folder in enumerate(folders):
        model.load_adapter(f"solo{i}", folder)
    expected = solo(model, [None, *(f"solo{i}" for i in range(len(folders)))])
    for i in range(len(folders)):
        model.unload_adapter(f"solo{i}")
    texts = {(BASE if n is None else f"a{n[4:]}", p): text for (n, p), text in expected.items()}
    assert len(set(texts.values())) > len(folders)  # they can be told apart
    stable, changing = len(folders) // 2, len(folders)
    num_answers = 0

    async def run() -> None:
        nonlocal num_answers
        live = Live(model, base_path, tmp_path, Path(folders[0]).parent, {f"a{i}": folders[i] for i in range(stable)})
        is_over = asyncio.Event()
        names = [BASE, *(f"a{i}" for i in range(stable))]

        async def client(number: int) -> None:
            nonlocal num_answers
            turn = number
            while not is_over.is_set():
                name, prompt = names[turn % len(names)], PROMPTS[turn % len(PROMPTS)]
                answer = await live.complete(name, prompt)
                assert answer["choices"][0]["text"] == texts[name, prompt]
                turn, num_answers = turn + 7, num_answers + 1

        clients = [asyncio.create_task(client(i)) for i in range(num_clients)]
        for cycle in range(num_cycles):
            which = stable + cycle % (changing - stable)
            loaded = await live.admin("load", lora_name="changing", lora_path=folders[which])
            assert loaded.status_code == 200, loaded.text
            prompt = PROMPTS[cycle % len(PROMPTS)]
            open_answer = asyncio.create_task(live.complete("changing", prompt))
            while not model.status().num_running:
                await asyncio.sleep(0.002)
            assert (await live.complete("changing", prompt))["choices"][0]["text"] == texts[f"a{which}", prompt]
            assert (await live.admin("unload", lora_name="changing")).status_code == 200
            assert (await open_answer)["choices"][0]["text"] == texts[f"a{which}", prompt]
            measure(cycle)
        is_over.set()
        await asyncio.gather(*clients)
        while len(model.status().adapters) > stable:  # the last one is let go of behind its answer's back
            await asyncio.sleep(0.002)
        live.registry.collect()
        assert len(list((live.registry.folder / "versions").iterdir())) == stable
        live.replica.residency.sync(set())
        live.replica.residency.close()

    asyncio.run(run())
    return num_answers


def test_adapters_come_and_go_while_others_answer(
    model: LoadedModel, tiny_model_path: str, folders: list[str], tmp_path: Path
) -> None:
    assert cycles_under_load(model, tiny_model_path, folders, tmp_path, num_cycles=4, num_clients=2)


@pytest.mark.long
@pytest.mark.timeout(1800)
def test_five_hundred_loads_under_load_leave_nothing_behind(
    model: LoadedModel, tiny_model_path: str, folders: list[str], tmp_path: Path
) -> None:
    import psutil

    process, resident = psutil.Process(), dict[int, int]()

    def measure(cycle: int) -> None:
        if cycle in (100, 499):
            gc.collect()
            resident[cycle] = process.memory_info().rss

    answers = cycles_under_load(model, tiny_model_path, folders, tmp_path, num_cycles=500, measure=measure)
    print(f"{answers} answers; resident MiB after 100 and 500 cycles: {[r // 2**20 for r in resident.values()]}")
    assert resident[499] - resident[100] < 48 * 2**20


def test_a_retrained_adapter_never_answers_with_old_weights(
    model: LoadedModel, tiny_model_path: str, folders: list[str], tmp_path: Path
) -> None:
    for i in range(2):
        model.load_adapter(f"solo{i}", folders[i])
    prompt = PROMPTS[0]
    old, new = (
        model.generate([GenerateRequest(prompt, adapter=f"solo{i}", max_new_tokens=40)])[0].text for i in range(2)
    )
    for i in range(2):
        model.unload_adapter(f"solo{i}")
    assert old != new

    async def run() -> None:
        folder = Path(shutil.copytree(folders[0], tmp_path / "runs" / "support"))
        live = Live(model, tiny_model_path, tmp_path / "store", tmp_path / "runs", {"support": str(folder)})
        (old_id,) = (v.id for v in live.registry.state.adapters["support"].versions)
        await live.complete("support", prompt)
        running = [asyncio.create_task(live.complete("support", prompt, max_tokens=40)) for _ in range(3)]
        while model.status().num_running < 3:
            await asyncio.sleep(0.002)
        shutil.rmtree(folder)
        shutil.copytree(folders[1], folder)  # trained again, into the same folder
        loaded = await live.admin("load", lora_name="support", lora_path="support", load_inplace=True)
        assert loaded.status_code == 200, loaded.text
        after = await live.complete("support", prompt, max_tokens=40)
        assert after["choices"][0]["text"] == new
        for answer in await asyncio.gather(*running):
            assert (answer["choices"][0]["text"], answer["system_fingerprint"]) == (old, old_id)
        assert (await live.complete(f"support@{old_id}", prompt, max_tokens=40))["choices"][0]["text"] == old
        live.replica.residency.sync(set())
        live.replica.residency.close()

    asyncio.run(run())
