"""Checks a Ray Serve file before it is deployed: `python -m ray_ft.serving.serve_file FILE`.

Ray Serve lets keys pass that it does not know, and what is wrong in arguments would come out on the cluster.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from ray_ft.config import load_config
from ray_ft.errors import ConfigError, RayFTError, first_line
from ray_ft.serving.deploy import check_arguments

IMPORT_PATH = "ray_ft.serving.deploy:app"


def check_serve_file(path: str) -> None:
    """Raise ConfigError for what Ray Serve does not know or refuses, and for arguments that we do not take."""
    import yaml
    from ray.serve.schema import ServeDeploySchema

    try:
        given = yaml.safe_load(Path(path).read_text())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: not valid YAML: {first_line(error)}") from None
    if isinstance(given, dict) and "serveConfigV2" in (given.get("spec") or {}):
        given = yaml.safe_load(given["spec"]["serveConfigV2"])  # a RayService of KubeRay
    try:
        schema = ServeDeploySchema.model_validate(given)
    except ValueError as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    for key, known in _unknown(given, schema, ""):
        raise ConfigError(f"{path}: {key}: Ray Serve knows no such key; it knows {', '.join(sorted(known))}")
    for application in schema.applications:
        if application.import_path == IMPORT_PATH:
            _check_arguments(application.args, f"{path}: {application.name}")


def _unknown(given: Any, model: Any, where: str) -> Iterator[tuple[str, list[str]]]:
    """Keys that a model of Ray Serve's dropped, wherever they stand, each with those that it has there."""
    if isinstance(given, list) and isinstance(model, list):
        for i, (part, made) in enumerate(zip(given, model, strict=True)):
            yield from _unknown(part, made, f"{where}[{i}]")
    known = getattr(type(model), "model_fields", None)
    if isinstance(given, dict) and known is not None:
        for key, value in given.items():
            if key not in known:
                yield f"{where}.{key}".lstrip("."), list(known)
            else:
                yield from _unknown(value, getattr(model, key), f"{where}.{key}")


def _check_arguments(arguments: dict[str, Any], where: str) -> None:
    """Those of this package's builder; the configuration too, where it lies at its path on this machine as well."""
    try:
        check_arguments(arguments)
        path, overrides = str(arguments["config"]), list(arguments.get("overrides") or ())
        if Path(path).is_file():
            load_config(path, overrides)
    except RayFTError as error:
        raise ConfigError(f"{where}: {error}") from None


def main(arguments: list[str]) -> int:
    """Say that a file is fine, or the first thing that is not."""
    if len(arguments) != 1:
        print("usage: python -m ray_ft.serving.serve_file FILE", file=sys.stderr)
        return 2
    try:
        check_serve_file(arguments[0])
    except RayFTError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    print(f"{arguments[0]}: fine")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
