"""API keys: who may ask, for which adapters, and how much; only their SHA-256 is ever stored.

`python -m ray_ft.serving.access.keys NAME` makes one and prints it beside its entry for `serving.keys_file`.
"""

import fnmatch
import hashlib
import hmac
import os
import re
import secrets
import sys
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from ray_ft.errors import ConfigError, first_line

ENVIRONMENT = "RAY_FT_API_KEY"
"""One key in the clear, with every scope: for an endpoint of one's own."""
SCOPES = ("infer", "admin", "metrics")
"""Ask models; change what is served; read /metrics. An admin may read them too."""


@dataclass(frozen=True)
class ApiKey:
    """Who asks. A limit of None is none."""

    id: str
    sha256: str = ""  # hex, of the key itself
    scopes: tuple[str, ...] = ("infer",)
    adapters: tuple[str, ...] | None = None  # names or patterns such as `team-*`; None: all. The base is for everyone
    tokens_per_minute: int | None = None  # of prompts and answers
    tokens_per_day: int | None = None
    max_concurrent: int | None = None  # answers being made or waiting, not requests

    def allows(self, adapter: str | None) -> bool:
        """Whether this key may ask an adapter, in any of its versions (`name@version`)."""
        if adapter is None or self.adapters is None:
            return True
        name = adapter.partition("@")[0]
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.adapters)


EVERYONE = ApiKey("", scopes=SCOPES)
"""Who asks where no keys are set."""
NOBODY = ApiKey("", scopes=(), adapters=())
"""Who asks open routes without a key where keys are set."""


@dataclass(frozen=True)
class KeyRing:
    """All keys of an endpoint; an empty ring lets everyone in."""

    keys: tuple[ApiKey, ...] = ()

    def find(self, secret: str) -> ApiKey | None:
        """The key with this secret. Takes as long for a wrong one as for a right one."""
        digest = _digest(secret)
        found = None
        for key in self.keys:
            if hmac.compare_digest(key.sha256, digest):
                found = key
        return found


def load_keys(path: str | None, environment: Mapping[str, str] = os.environ) -> KeyRing:
    """The keys of `serving.keys_file` and of RAY_FT_API_KEY. Raises ConfigError: the file, the entry, what it wants."""
    keys = _read(Path(path).expanduser()) if path is not None else []
    if secret := environment.get(ENVIRONMENT, "").strip():
        keys.append(ApiKey(ENVIRONMENT, _digest(secret), SCOPES))
    for name, values in (("id", [key.id for key in keys]), ("sha256", [key.sha256 for key in keys])):
        twice = sorted({value for value in values if values.count(value) > 1})
        if twice:
            raise ConfigError(f"serving.keys_file: {path}: the {name} {twice[0]} is there twice")
    return KeyRing(tuple(keys))


def _read(path: Path) -> list[ApiKey]:
    import yaml

    where = f"serving.keys_file: {path}"
    try:
        content = yaml.safe_load(path.read_text())  # YAML reads JSON too
    except OSError as error:
        raise ConfigError(f"{where}: {error.strerror or error}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{where}: not valid YAML: {first_line(error)}") from None
    entries = content.get("keys") if isinstance(content, dict) and set(content) == {"keys"} else None
    if not isinstance(entries, list) or not entries:
        raise ConfigError(f"{where}: expected `keys:` with a list of entries, each with an id and a sha256")
    return [_key(entry, f"{where}: keys[{i}]") for i, entry in enumerate(entries)]


def _key(entry: Any, where: str) -> ApiKey:
    """One checked entry. Its values are not repeated in messages: a key in the clear may be among them."""

    def require(condition: bool, name: str, wanted: str) -> None:
        if not condition:
            raise ConfigError(f"{where}.{name}: must be {wanted}")

    if not isinstance(entry, dict):
        raise ConfigError(f"{where}: must be a mapping with an id and a sha256")
    known = [f.name for f in fields(ApiKey)]
    unknown = sorted(str(name) for name in entry if name not in known)
    if unknown:
        raise ConfigError(f"{where}: unknown key {unknown[0]!r}; known are {', '.join(known)}")
    given = {name: value for name, value in entry.items() if value is not None}
    name, digest = given.get("id"), str(given.get("sha256", "")).lower()
    require(isinstance(name, str) and re.fullmatch(r"[\w.-]{1,64}", name) is not None, "id", "letters, digits, . _ -")
    require(
        re.fullmatch(r"[0-9a-f]{64}", digest) is not None, "sha256",
        "the 64 hex digits that `python -m ray_ft.serving.access.keys NAME` prints, not the key itself",
    )  # fmt: skip
    for part in ("scopes", "adapters"):
        value = given.get(part, [])
        require(isinstance(value, list) and all(isinstance(v, str) for v in value), part, "a list of names")
    scopes = tuple(given.get("scopes", ("infer",)))
    require(len(scopes) > 0 and set(scopes) <= set(SCOPES), "scopes", f"a list out of {', '.join(SCOPES)}")
    for part in ("tokens_per_minute", "tokens_per_day", "max_concurrent"):
        value = given.get(part, 1)
        require(isinstance(value, int) and not isinstance(value, bool) and value >= 1, part, "a whole number above 0")
    adapters = tuple(given["adapters"]) if "adapters" in given else None
    return ApiKey(**(given | {"sha256": digest, "scopes": scopes, "adapters": adapters}))


def _digest(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def main(arguments: list[str]) -> int:
    """Print a new key, which is shown this once, and the entry that lets it in."""
    if len(arguments) != 1 or re.fullmatch(r"[\w.-]{1,64}", arguments[0]) is None:
        print("usage: python -m ray_ft.serving.access.keys NAME (letters, digits, . _ -)", file=sys.stderr)
        return 2
    secret = "rft-" + secrets.token_urlsafe(32)
    print(f"Give this to whoever asks; it is stored nowhere: {secret}\n\nkeys:")
    print(f"  - id: {arguments[0]}\n    sha256: {_digest(secret)}\n    scopes: [infer]")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
