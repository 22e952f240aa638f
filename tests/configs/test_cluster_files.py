"""Cluster files are held to the schemas of Ray and KubeRay, to each other, and to the code they start."""

import copy
import functools
import gzip
import importlib
import re
import shlex
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

import ray_ft
from ray_ft.cli import build_parser
from ray_ft.config import load_config

REPOSITORY = Path(__file__).parents[2]
CLUSTER = REPOSITORY / "cluster"
CRDS = REPOSITORY.parent / "shared" / "kuberay-crds"
MANIFESTS = ("raycluster", "rayjob", "rayservice")
LAUNCHER_FILES = ("aws", "gcp", "onprem")
RAY_DRAIN_S = 30  # RAY_GRACEFUL_SHUTDOWN_DRAIN_TIMEOUT_S: what `ray start --block` takes to drain a node at SIGTERM


def manifest(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((CLUSTER / "kuberay" / f"{name}.yaml").read_text())
    return loaded


def cluster_spec(name: str) -> dict[str, Any]:
    """The RayCluster inside a manifest."""
    spec = manifest(name)["spec"]
    found: dict[str, Any] = spec.get("rayClusterSpec") or spec.get("rayClusterConfig") or spec
    return found


def pinned(package: str) -> str:
    found = re.search(rf"^{package}==(\S+)$", (REPOSITORY / "constraints.txt").read_text(), re.MULTILINE)
    assert found is not None, package
    return found[1]


# --- KubeRay ---


@functools.cache
def validator(kind: str) -> jsonschema.Draft202012Validator:
    """KubeRay's schema of a kind, in which an unknown key is an error."""
    path = CRDS / f"ray.io_{kind}s.yaml.gz"
    if not path.exists():
        pytest.skip(f"KubeRay's custom resource definitions are not at {CRDS}")
    definition = yaml.load(gzip.decompress(path.read_bytes()), Loader=yaml.CSafeLoader)  # about 1 MB
    schema = next(v for v in definition["spec"]["versions"] if v["name"] == "v1")["schema"]["openAPIV3Schema"]
    schema["properties"]["metadata"] = {"type": "object"}
    return jsonschema.Draft202012Validator(strict(schema))


def strict(schema: Any) -> Any:
    """Kubernetes' dialect as JSON Schema: int-or-string spelled out, objects closed where their keys are known."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    if schema.get("x-kubernetes-int-or-string"):
        return {"anyOf": [{"type": "integer"}, {"type": "string"}]}
    closed = {key: strict(part) for key, part in schema.items()}
    if isinstance(closed.get("properties"), dict) and closed.get("type") == "object":
        closed.setdefault("additionalProperties", False)
    return closed


def errors_in(kind: str, value: Any) -> list[str]:
    return [f"{error.json_path}: {error.message}" for error in validator(kind).iter_errors(value)]


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_satisfies_kuberays_definition(name: str) -> None:
    assert errors_in(name, manifest(name)) == []


def test_a_mistyped_key_in_a_manifest_is_found() -> None:
    value = manifest("raycluster")
    value["spec"]["workerGroupSpecs"][0]["maxReplica"] = 3
    value["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]["imag"] = "x"
    assert len(errors_in("raycluster", value)) == 2


@pytest.mark.parametrize("name", MANIFESTS)
def test_clusters_run_the_tested_ray_with_tokens_and_an_idle_head(name: str) -> None:
    spec = cluster_spec(name)
    assert spec["rayVersion"] == pinned("ray")
    assert spec["authOptions"]["mode"] == "token"  # absent, KubeRay 1.7 leaves the cluster open
    assert spec["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


@pytest.mark.parametrize("name", MANIFESTS)
def test_pods_have_time_to_drain_and_memory_that_is_theirs(name: str) -> None:
    spec = cluster_spec(name)
    for group in [spec["headGroupSpec"], *spec["workerGroupSpecs"]]:
        pod = group["template"]["spec"]
        assert pod["terminationGracePeriodSeconds"] > RAY_DRAIN_S
        assert pod.get("restartPolicy", "Never") == "Never"  # autoscaler v2 refuses others
        for container in pod["containers"]:
            assert container["image"].endswith(f"/ray-ft:{ray_ft.__version__}")
            assert container["resources"]["limits"] == container["resources"]["requests"]


@pytest.mark.parametrize("name", MANIFESTS)
def test_gpu_pods_tolerate_the_gpu_taint_and_share_memory_between_workers(name: str) -> None:
    groups = {group["groupName"]: group for group in cluster_spec(name)["workerGroupSpecs"]}
    pod = groups["gpu"]["template"]["spec"]
    assert any(toleration["key"] == "nvidia.com/gpu" for toleration in pod["tolerations"])
    assert int(pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"]) >= 1
    assert {volume["name"]: volume for volume in pod["volumes"]}["shm"]["emptyDir"]["medium"] == "Memory"
    assert "/dev/shm" in [mount["mountPath"] for mount in pod["containers"][0]["volumeMounts"]]


def test_the_job_starts_a_command_that_exists_and_ends() -> None:
    spec = manifest("rayjob")["spec"]
    words = shlex.split(spec["entrypoint"])
    assert words[:3] == ["python", "-m", "ray_ft"]
    arguments = build_parser().parse_args(words[3:])
    config = load_config(REPOSITORY / "configs" / "quickstart.yaml", arguments.overrides)
    assert config.output_dir.startswith("/mnt/shared")  # a job's own folder vanishes
    assert spec["activeDeadlineSeconds"] > 0  # Ray Train waits for GPUs without limit
    assert spec["shutdownAfterJobFinishes"]  # ttlSecondsAfterFinished needs it
    assert len(manifest("rayjob")["metadata"]["name"]) <= 47  # KubeRay appends to it


def test_the_service_names_a_builder_that_takes_its_arguments() -> None:
    from ray.serve.schema import ServeDeploySchema

    serve = yaml.safe_load(manifest("rayservice")["spec"]["serveConfigV2"])
    schema = ServeDeploySchema.model_validate(serve)
    assert set(serve) <= set(ServeDeploySchema.model_fields)  # the schema itself lets unknown keys pass
    [application] = schema.applications
    assert set(serve["applications"][0]) <= set(type(application).model_fields)
    assert application.import_path is not None
    module, _, name = application.import_path.partition(":")
    assert callable(getattr(importlib.import_module(module), name))
    assert set(application.args) <= {"config", "overrides"}
    load_config(REPOSITORY / "configs" / "quickstart.yaml", application.args["overrides"])


# --- ray up ---


def validate(config: dict[str, Any]) -> None:
    """Ray's own check of a launcher file; it asks no cloud."""
    from ray.autoscaler._private.util import prepare_config, validate_config

    validate_config(prepare_config(copy.deepcopy(config)))


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_a_launcher_file_satisfies_rays_schema(name: str) -> None:
    config = yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())
    validate(config)
    assert config["docker"]["image"].endswith(f"/ray-ft:{ray_ft.__version__}")
    assert any("/mnt/shared:/mnt/shared" in option for option in config["docker"]["run_options"])


@pytest.mark.parametrize("name", LAUNCHER_FILES)
def test_a_mistyped_key_in_a_launcher_file_is_found(name: str) -> None:
    config = yaml.safe_load((CLUSTER / f"{name}.yaml").read_text())
    with pytest.raises(jsonschema.ValidationError, match="idle_timeout_minute"):
        validate(config | {"idle_timeout_minute": 5})


# --- image ---


def test_the_image_starts_from_the_tested_ray_and_copies_files_that_exist() -> None:
    lines = (CLUSTER / "Dockerfile").read_text().splitlines()
    assert [line for line in lines if line.startswith("FROM")] == [f"FROM rayproject/ray:{pinned('ray')}-py311-gpu"]
    copied = [
        word for line in lines if line.startswith("COPY") for word in line.split()[1:-1] if not word.startswith("--")
    ]
    assert [name for name in copied if not (REPOSITORY / name).exists()] == []
