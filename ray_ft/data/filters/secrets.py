"""Keys, tokens and passwords in a text, by the patterns of detect-secrets where a text holds their marks.

Patterns without a mark of their own are asked only where the provider is named. What is a secret by its name alone is
assigned.py's.
"""

import base64
import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from ray_ft.data.filters.assigned import find_assigned, is_secret

PROVIDERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "AWS_KEY": ("aws", "AWSKeyDetector", ("AKIA", "ASIA", "ABIA", "ACCA", "A3T", "aws")),
    "ARTIFACTORY_KEY": ("artifactory", "ArtifactoryDetector", ("artifactory",)),
    "AZURE_KEY": ("azure_storage_key", "AzureStorageKeyDetector", ("AccountKey=",)),
    "DISCORD_TOKEN": ("discord", "DiscordBotTokenDetector", ("discord",)),
    "GITHUB_TOKEN": ("github_token", "GitHubTokenDetector", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    "GITLAB_TOKEN": ("gitlab_token", "GitLabTokenDetector", ("gl", "GR1348941")),
    "MAILCHIMP_KEY": ("mailchimp", "MailchimpDetector", ("-us",)),
    "PYPI_TOKEN": ("pypi_token", "PypiTokenDetector", ("pypi-AgE",)),
    "SENDGRID_KEY": ("sendgrid", "SendGridDetector", ("SG.",)),
    "SLACK_TOKEN": ("slack", "SlackDetector", ("xox", "hooks.slack.com")),
    "SQUARE_SECRET": ("square_oauth", "SquareOAuthDetector", ("sq0csp-",)),
    "STRIPE_KEY": ("stripe", "StripeDetector", ("k_live_",)),
    "TELEGRAM_TOKEN": ("telegram_token", "TelegramBotTokenDetector", ("telegram",)),
    "TWILIO_KEY": ("twilio", "TwilioKeyDetector", ("twilio",)),
}
"""Placeholder -> module and class of detect-secrets' plugin, and what a text must hold to be searched by it."""

ANY_CASE = frozenset({"DISCORD_TOKEN", "TELEGRAM_TOKEN", "TWILIO_KEY"})  # whose marks are names
OTHERS = (  # few marks, since each is searched in every text; npm's and OpenAI's own patterns take quadratic time
    ("GITHUB_TOKEN", "_pat_", re.compile(r"\bgithub_pat_[A-Za-z0-9_]{40,}")),
    ("DOCKER_TOKEN", "_pat_", re.compile(r"\bdckr_pat_[\w-]{20,}")),
    ("GOOGLE_KEY", "AIza", re.compile(r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])")),
    ("HUGGING_FACE_TOKEN", "hf_", re.compile(r"\bhf_[A-Za-z0-9]{34,}\b")),
    ("NPM_TOKEN", "npm_", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("NPM_TOKEN", ":_auth", re.compile(r"/:_authToken=\s{0,9}(npm_\S+|[A-Fa-f0-9-]{36})")),
    ("NPM_TOKEN", ":_auth", re.compile(r":_auth=\s{0,3}([A-Za-z0-9+/]{16,}={0,2})")),
    ("VAULT_TOKEN", "hvs.", re.compile(r"\bhvs\.[\w-]{24,}")),
    ("ANTHROPIC_KEY", "sk-", re.compile(r"\bsk-ant-[\w-]{24,}")),
    ("OPENAI_KEY", "sk-", re.compile(r"\bsk-(?:proj|svcacct)-[\w-]{24,}")),
    ("OPENAI_KEY", "sk-", re.compile(r"(?<![\w-])sk-[\w-]*[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}", re.ASCII)),
)
OTHER_MARKS = tuple(dict.fromkeys(mark for _, mark, _ in OTHERS))
JWT = re.compile(r"(?<![\w=-])eyJ[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_.+/=-]+)?")
URL_PASSWORD = re.compile(r"://[^\s:/?#@\[\]]{0,64}:([^\s:/?#@\[\]]{8,128})@")
USER_OPTION = re.compile(r"[ \t]-u[ \t]?[\"']?[\w.@-]{1,64}:([^\s\"':]{8,128})")
PRIVATE_KEY = re.compile(
    r"-----BEGIN (?:[A-Z0-9]+ ){0,3}PRIVATE KEY(?: BLOCK)?-----[\s\"'\\nr+,]{0,80}(?:[A-Za-z-]+: [^\n]{1,200}\s+){0,4}"
    r"[A-Za-z0-9+/=]{40}|PuTTY-User-Key-File-[23]: "
)


@dataclass(frozen=True)
class Found:
    """A stretch of a text that is to be replaced, and the word that says what it was."""

    start: int
    end: int
    kind: str


def has_private_key(text: str) -> bool:
    """Whether a private key stands in the text, not only its first line as documentation quotes it."""
    return ("PRIVATE KEY" in text or "PuTTY-User-Key" in text) and PRIVATE_KEY.search(text) is not None


def find_secrets(text: str) -> Iterator[Found]:
    """Every secret, those of one kind in order; stretches of several kinds may overlap."""
    low = text.lower()
    for kind, (_, _, marks) in PROVIDERS.items():
        shown = low if kind in ANY_CASE else text
        if any(mark in shown for mark in marks):
            for pattern in _patterns(kind):
                yield from (_group(match, kind) for match in pattern.finditer(text))
    there = {mark for mark in OTHER_MARKS if mark in text}
    for kind, mark, pattern in OTHERS if there else ():
        if mark in there:
            yield from (_group(match, kind) for match in pattern.finditer(text))
    if "eyJ" in text:
        yield from (_group(m, "JWT") for m in JWT.finditer(text) if _is_jwt(m.group()))
    if "://" in text and "@" in text:
        yield from (
            _group(m, "PASSWORD") for m in URL_PASSWORD.finditer(text) if is_secret(m.group(1), is_password=True)
        )
    if "curl" in text:
        yield from (
            _group(m, "PASSWORD") for m in USER_OPTION.finditer(text) if is_secret(m.group(1), is_password=True)
        )
    yield from (Found(start, end, "SECRET") for start, end in find_assigned(text, low))


@cache
def _patterns(kind: str) -> tuple[re.Pattern[str], ...]:
    module, name, _ = PROVIDERS[kind]
    plugin = getattr(importlib.import_module(f"detect_secrets.plugins.{module}"), name)
    return tuple(plugin.denylist)


def _group(match: re.Match[str], kind: str) -> Found:
    """The secret itself where the pattern also takes in what stands before it."""
    groups = [i for i in range(1, (match.re.groups or 0) + 1) if match.group(i) and len(match.group(i)) >= 16]
    start, end = match.span(groups[0] if groups else 0)
    return Found(start, end, kind)


def _is_jwt(token: str) -> bool:
    """Whether the first part is JSON that names an algorithm."""
    head = token.split(".")[0]
    try:
        value = json.loads(base64.urlsafe_b64decode(head + "=" * (-len(head) % 4)))
    except (ValueError, RecursionError):
        return False
    return isinstance(value, dict) and "alg" in value
