"""Keys, tokens and passwords in a text, by the patterns of detect-secrets where a text holds their marks.

Patterns without a mark of their own are asked only where the provider is named, and what is assigned to a name such as
api_key only where it looks random.
"""

import base64
import importlib
import json
import math
import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

PROVIDERS: dict[str, tuple[str, str, tuple[str, ...]]] = {
    "AWS_KEY": ("aws", "AWSKeyDetector", ("AKIA", "ASIA", "ABIA", "ACCA", "A3T", "aws")),
    "ARTIFACTORY_KEY": ("artifactory", "ArtifactoryDetector", ("artifactory",)),
    "AZURE_KEY": ("azure_storage_key", "AzureStorageKeyDetector", ("AccountKey=",)),
    "DISCORD_TOKEN": ("discord", "DiscordBotTokenDetector", ("discord", "DISCORD")),
    "GITHUB_TOKEN": ("github_token", "GitHubTokenDetector", ("ghp_", "gho_", "ghu_", "ghs_", "ghr_")),
    "GITLAB_TOKEN": ("gitlab_token", "GitLabTokenDetector", ("gl", "GR1348941")),
    "MAILCHIMP_KEY": ("mailchimp", "MailchimpDetector", ("-us",)),
    "PYPI_TOKEN": ("pypi_token", "PypiTokenDetector", ("pypi-AgE",)),
    "SENDGRID_KEY": ("sendgrid", "SendGridDetector", ("SG.",)),
    "SLACK_TOKEN": ("slack", "SlackDetector", ("xox", "hooks.slack.com")),
    "SQUARE_SECRET": ("square_oauth", "SquareOAuthDetector", ("sq0csp-",)),
    "STRIPE_KEY": ("stripe", "StripeDetector", ("k_live_",)),
    "TELEGRAM_TOKEN": ("telegram_token", "TelegramBotTokenDetector", ("telegram", "TELEGRAM")),
    "TWILIO_KEY": ("twilio", "TwilioKeyDetector", ("twilio", "TWILIO")),
}
"""Placeholder -> module and class of detect-secrets' plugin, and what a text must hold to be searched by it."""

OTHERS = (  # the last two instead of detect-secrets' own, which take quadratic time
    ("GITHUB_TOKEN", "github_pat_", re.compile(r"\bgithub_pat_[A-Za-z0-9_]{40,}")),
    ("GOOGLE_KEY", "AIza", re.compile(r"\bAIza[0-9A-Za-z_-]{35}(?![0-9A-Za-z_-])")),
    ("HUGGING_FACE_TOKEN", "hf_", re.compile(r"\bhf_[A-Za-z0-9]{34,}\b")),
    ("NPM_TOKEN", "npm_", re.compile(r"\bnpm_[A-Za-z0-9]{36}\b")),
    ("NPM_TOKEN", "_authToken", re.compile(r"/:_authToken=\s{0,9}(npm_\S+|[A-Fa-f0-9-]{36})")),
    ("OPENAI_KEY", "T3BlbkFJ", re.compile(r"(?<![\w-])sk-[\w-]*[A-Za-z0-9]{20}T3BlbkFJ[A-Za-z0-9]{20}", re.ASCII)),
)
JWT = re.compile(r"(?<![\w=-])eyJ[A-Za-z0-9_=-]{8,}\.[A-Za-z0-9_=-]{8,}(?:\.[A-Za-z0-9_.+/=-]+)?")
URL_PASSWORD = re.compile(r"://[^\s:/?#@\[\]]{1,64}:([^\s:/?#@\[\]]{8,128})@")
NAMES = ("password", "passwd", "pwd", "secret", "token", "apikey", "api_key", "api-key", "access_key", "access-key")
NAMED = re.compile("|".join(NAMES), re.IGNORECASE)
ASSIGNED = re.compile(r"""[\w-]{0,20}["']?\s{0,3}(?::|=>?)\s{0,3}(["'])([^"'\s]{12,200})\1""")
PLACEHOLDER_WORDS = re.compile(
    r"example|sample|dummy|changeme|change_me|your|test|fake|xxxx|\*\*\*|[<>{}$%()]", re.IGNORECASE
)
MIN_BITS = 3.5  # per character; words have about 3, random letters and digits 4 and more
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
    for kind, (_, _, marks) in PROVIDERS.items():
        if any(mark in text for mark in marks):
            for pattern in _patterns(kind):
                yield from (_group(match, kind) for match in pattern.finditer(text))
    for kind, mark, pattern in OTHERS:
        if mark in text:
            yield from (_group(match, kind) for match in pattern.finditer(text))
    if "eyJ" in text:
        yield from (_group(m, "JWT") for m in JWT.finditer(text) if _is_jwt(m.group()))
    if "://" in text and "@" in text:
        yield from (_group(m, "PASSWORD") for m in URL_PASSWORD.finditer(text) if _is_random(m.group(1)))
    for end in _names(text):
        match = ASSIGNED.match(text, end)
        if match and _is_random(match.group(2)):
            yield Found(*match.span(2), "SECRET")


def _names(text: str) -> Iterator[int]:
    """Where the names that secrets are assigned to end. Plain search is many times faster than a pattern."""
    low = text.lower()
    if len(low) != len(text):  # a few letters become two
        yield from (match.end() for match in NAMED.finditer(text))
        return
    for name in NAMES:
        place = low.find(name)
        while place >= 0:
            yield place + len(name)
            place = low.find(name, place + len(name))


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


def _is_random(value: str) -> bool:
    """Whether a value looks drawn rather than written: letters and digits, few repeated, no word of a placeholder."""
    if PLACEHOLDER_WORDS.search(value) or not re.search(r"\d", value) or not re.search(r"[A-Za-z]", value):
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    return bits >= min(MIN_BITS, 0.85 * math.log2(len(value)))
