"""A Ray Serve file is checked to its last key before it is deployed."""

from pathlib import Path

import pytest

from ray_ft.errors import ConfigError
from ray_ft.serving.serve_file import check_serve_file, main

REPOSITORY = Path(__file__).parents[3]
FINE = """
http_options: {host: 0.0.0.0, port: 8000}
applications:
  - name: ray_ft
    route_prefix: /
    import_path: ray_ft.serving.deploy:app
    args: {config: on-the-cluster.yaml, overrides: [serving.num_gpus=1]}
    deployments: [{name: model, num_replicas: 2}]
"""


def written(folder: Path, text: str) -> str:
    path = folder / "serve.yaml"
    path.write_text(text)
    return str(path)


def test_a_file_that_is_fine_is_called_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([written(tmp_path, FINE)]) == 0
    assert capsys.readouterr().out.endswith("serve.yaml: fine\n")
    check_serve_file(str(REPOSITORY / "cluster" / "kuberay" / "rayservice.yaml"))


@pytest.mark.parametrize(
    ("right", "wrong", "reason"),
    [
        ("http_options:", "http_option:", "http_option: Ray Serve knows no such key; it knows applications, "),
        ("port:", "prt:", r"http_options\.prt: Ray Serve knows no such key; it knows .*port"),
        ("route_prefix:", "prefix:", r"applications\[0\]\.prefix: Ray Serve knows no such key"),
        ("num_replicas:", "replicas:", r"deployments\[0\]\.replicas: Ray Serve knows no such key"),
        ("overrides:", "override:", "ray_ft: args: expected config and optionally overrides, got config, override"),
        ("port: 8000", "port: many", "http_options.port .*valid integer"),
        ("applications:", "applications: [", "not valid YAML"),
        (FINE, "- a", "serve.yaml"),
        (FINE, "", "serve.yaml"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, right: str, wrong: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=reason):
        check_serve_file(written(tmp_path, FINE.replace(right, wrong)))


def test_a_configuration_that_is_there_is_checked_with_its_overrides(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = tmp_path / "run.yaml"
    config.write_text("run_name: x\nmodel: {name: org/base}\ndata: {sources: [docs], recipes: [paragraph]}\n")
    text = FINE.replace("on-the-cluster.yaml", str(config))
    check_serve_file(written(tmp_path, text))
    assert main([written(tmp_path, text.replace("serving.num_gpus", "serving.gpus"))]) == 2
    assert "serving.gpus" in capsys.readouterr().err
    assert main([]) == main([str(tmp_path / "nowhere")]) == 2
