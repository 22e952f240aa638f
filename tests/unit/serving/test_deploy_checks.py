"""What cannot be served is refused in one line before Ray Serve starts."""

import io
import os
import signal
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from ray_ft import artifacts
from ray_ft.artifacts import TunedModel
from ray_ft.config import Config, ServingConfig, parse_config
from ray_ft.errors import ConfigError, MissingArtifactError, RayFTError
from ray_ft.serving.access.keys import ApiKey, KeyRing
from ray_ft.serving.deploy import (
    RunModels,
    app,
    models_of_run,
)
from ray_ft.serving.listening import check_certificate, check_port, check_reach, url_of
from ray_ft.serving.replica.resources import replica_scaling
from ray_ft.serving.starting import _reason
from ray_ft.serving.stopping import _WithoutLines, wait_for_interrupt
from ray_ft.strategies import Full, LoRA


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        yield listener.getsockname()[1]


def test_a_taken_port_is_named_with_a_way_out(taken_port: int) -> None:
    with pytest.raises(ConfigError, match=rf"serving\.port: {taken_port} is in use on 127\.0\.0\.1.*serving\.port="):
        check_port(ServingConfig(port=taken_port))


def test_a_host_that_is_not_this_machine_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"serving\.host.*203\.0\.113\.7"):
        check_port(ServingConfig(host="203.0.113.7"))


KEYS = KeyRing((ApiKey("one", "0" * 64),))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "node7"])
def test_other_machines_are_let_in_with_keys_or_a_word_alone(host: str) -> None:
    with pytest.raises(ConfigError, match=rf"serving\.host: {host} can be reached.*keys_file.*open_access=true"):
        check_reach(ServingConfig(host=host), KeyRing())
    check_reach(ServingConfig(host=host), KEYS)
    check_reach(ServingConfig(host=host, open_access=True), KeyRing())


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_this_machine_may_ask_without_keys(host: str) -> None:
    check_reach(ServingConfig(host=host), KeyRing())


def test_a_serve_file_without_keys_has_to_say_so(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_FT_API_KEY", raising=False)
    path = tmp_path / "handbook.yaml"
    path.write_text("run_name: handbook\nmodel: {name: org/base}\ndata: {sources: [docs], recipes: [paragraph]}\n")
    with pytest.raises(ConfigError, match=r"handbook\.yaml: there are no API keys"):
        app({"config": str(path)})
    with pytest.raises(MissingArtifactError):  # goes on to what is served
        app({"config": str(path), "overrides": ["serving.open_access=true", f"output_dir={tmp_path / 'none'}"]})


def test_a_certificate_that_is_none_is_refused(tmp_path: Path) -> None:
    for name in ("cert.pem", "key.pem"):
        (tmp_path / name).write_text("no certificate")
    here = ServingConfig(ssl_certfile=str(tmp_path / "cert.pem"), ssl_keyfile=str(tmp_path / "key.pem"))
    with pytest.raises(ConfigError, match=r"serving\.ssl_certfile: .*cert\.pem and .*key\.pem are no certificate"):
        check_certificate(here)
    with pytest.raises(ConfigError, match=r"serving\.ssl_keyfile: nowhere\.pem: No such file"):
        check_certificate(replace(here, ssl_keyfile="nowhere.pem"))
    check_certificate(ServingConfig())


@pytest.mark.parametrize(
    ("serving", "url"),
    [
        (ServingConfig(route_prefix="/support"), "http://127.0.0.1:8000/support"),
        (ServingConfig(ssl_certfile="c", ssl_keyfile="k", port=443), "https://127.0.0.1:443"),
    ],
)
def test_the_url_has_the_prefix_and_the_scheme(serving: ServingConfig, url: str) -> None:
    assert url_of(serving) == url


@pytest.mark.parametrize(
    "key",
    [
        "max_open=0", "max_open_tokens=0", "drain_seconds=-1", "idle_seconds=-1", "requests_per_replica=0",
        "max_replicas=1", "min_replicas=1", "ssl_keyfile=key.pem", "name=a/b", "route_prefix=support",
        "route_prefix=/support/",
    ],
)  # fmt: skip
def test_keys_of_operation_have_ranges(key: str) -> None:
    base = {"run_name": "x", "model": {"name": "org/base"}, "data": {"sources": ["docs"], "recipes": ["paragraph"]}}
    with pytest.raises(ConfigError, match=rf"serving\.{key.partition('=')[0]}: .* must be"):
        parse_config(base, ["serving.num_replicas=2", f"serving.{key}"])


@pytest.mark.parametrize(
    ("serving", "arguments"),
    [
        (ServingConfig(num_replicas=3), {"num_replicas": 3}),
        (ServingConfig(num_replicas=2, max_replicas=4), {"min": 2, "initial": 2, "max": 4}),
        (ServingConfig(max_replicas=4, min_replicas=0), {"min": 0, "initial": 1, "max": 4}),
    ],
)
def test_copies_are_a_number_or_follow_what_there_is_to_do(serving: ServingConfig, arguments: dict[str, int]) -> None:
    from ray.serve.config import AutoscalingConfig

    made = replica_scaling(serving)
    if serving.max_replicas is None:
        assert made == arguments
        return
    assert list(made) == ["autoscaling_config"]
    scaling = AutoscalingConfig(**made["autoscaling_config"])
    assert {name: getattr(scaling, f"{name}_replicas") for name in arguments} == arguments
    assert (scaling.target_ongoing_requests, scaling.downscale_delay_s) == (32, 600)


@pytest.mark.parametrize(
    ("host", "reachable"), [("0.0.0.0", "127.0.0.1"), ("::", "[::1]"), ("node7", "node7"), ("10.0.0.1", "10.0.0.1")]
)
def test_the_url_names_an_address_that_can_be_called(host: str, reachable: str) -> None:
    assert url_of(ServingConfig(host=host, port=80)) == f"http://{reachable}:80"


def test_a_replicas_own_error_is_found_in_serves_traceback() -> None:
    messages = [
        "Deploying application ray_ft failed: Failed to update the deployments ['model'].",
        'Traceback (most recent call last):\n  File "model.py", line 3, in load\n'
        "ray_ft.errors.ModelError: model.safetensors is damaged\n\n",
    ]
    assert _reason(messages) == "model.safetensors is damaged"
    assert _reason(messages[:1]) == messages[0]


def test_only_marked_lines_are_left_out_of_the_output() -> None:
    sink = io.StringIO()
    stream = _WithoutLines(sink, "noise")
    print("one\nsome noise here\ntwo", file=stream)
    assert sink.getvalue() == "one\ntwo\n"


@pytest.mark.parametrize("args", [{}, {"confg": "x.yaml"}, {"config": "x.yaml", "port": 5}])
def test_the_builder_names_the_arguments_it_takes(args: dict[str, object]) -> None:
    with pytest.raises(RayFTError, match="expected config"):
        app(args)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_the_wait_and_gets_its_own_handler_back(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    timer = threading.Timer(0.1, os.kill, (os.getpid(), number))
    timer.start()
    wait_for_interrupt()
    timer.join()
    assert signal.getsignal(number) is before


def tuned(config: Config, path: str, *, is_adapter: bool) -> None:
    made = TunedModel(
        base_model="org/base", base_path="/models/base", base_digest="0" * 16, path=path, is_adapter=is_adapter,
        strategy=LoRA() if is_adapter else Full(), metrics={}, steps=1, fingerprint="f",
    )  # fmt: skip
    artifacts.save(made, config.run_path)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return parse_config({
        "run_name": "handbook",
        "output_dir": str(tmp_path),
        "model": {"name": "org/base"},
        "data": {"sources": ["docs"], "recipes": ["paragraph"]},
        "serving": {"adapters": {"older": "runs/older"}},
    })  # fmt: skip


def test_a_runs_adapter_is_served_under_its_name_beside_others(config: Config) -> None:
    tuned(config, "/runs/handbook/adapter", is_adapter=True)
    adapters = {"handbook": "/runs/handbook/adapter", "older": "runs/older"}
    assert models_of_run(config) == RunModels("/models/base", "org/base", adapters)


def test_a_whole_tuned_model_is_a_base_of_its_own(config: Config) -> None:
    tuned(config, "/runs/handbook/model", is_adapter=False)
    assert models_of_run(config) == RunModels("/runs/handbook/model", "handbook", {"older": "runs/older"})


def test_a_run_that_was_not_trained_names_the_verb_that_does(config: Config) -> None:
    with pytest.raises(MissingArtifactError, match="ray-ft train"):
        models_of_run(config)


def test_a_run_that_is_followed_is_waited_for_by_its_base(config: Config, tmp_path: Path) -> None:
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text("{}")
    model = replace(config.model, name=str(tmp_path / "base"))
    serving = replace(config.serving, watch={"handbook": str(config.run_path)})
    waiting = replace(config, model=model, serving=serving)
    assert models_of_run(waiting) == RunModels(model.name, model.name, {"older": "runs/older"})


def test_the_stage_imports_neither_ray_nor_torch_before_it_is_used() -> None:
    import subprocess
    import sys

    code = "import sys, ray_ft.serving.deploy; print(sorted({'ray', 'torch', 'fastapi'} & set(sys.modules)))"
    output = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=os.environ)
    assert output.stdout.strip() == "[]"
