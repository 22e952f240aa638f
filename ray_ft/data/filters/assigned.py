"""Secrets that only their name tells: what is given to a password, a token or a key, in code and in configurations.

A value counts when it looks drawn rather than written. Names of types, fields and files are made of words, so are most
constants, and what stands for a value yet to come says so.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator

NAMES = ("pass", "pwd", "secret", "token", "key", "bearer", "identified by")
REST_OF_PASS = re.compile(r"word|wd|phrase", re.IGNORECASE)
NAMED = re.compile("|".join(NAMES), re.IGNORECASE)
KEYS = frozenset({
    "api", "secret", "access", "private", "encryption", "signing", "auth", "master", "account", "shared",
    "subscription", "app", "client", "service", "session", "jwt", "hmac", "aes", "webhook", "deploy", "storage",
    "sas", "admin", "crypto", "license", "consumer", "application", "authorization", "decryption", "signature",
    "primary", "secondary", "publishable", "write", "read", "cookie", "host",
})  # fmt: skip
"""Before key: what opens something, as the keys of tables do not."""
NO_SECRETS = frozenset({
    "url", "uri", "field", "fields", "header", "headers", "name", "names", "type", "types", "path", "paths", "file",
    "files", "dir", "folder", "endpoint", "prefix", "suffix", "label", "class", "regex", "pattern", "format",
    "version", "kind", "ref", "reference", "references", "expiry", "expires", "expiration", "ttl", "length", "len",
    "size", "count", "column", "columns", "param", "params", "parameter", "arg", "variable", "var", "env",
    "placeholder", "hint", "message", "error", "title", "text", "description", "provider", "manager", "service",
    "store", "policy", "scope", "scopes", "algorithm", "alg", "method", "style", "icon", "input", "validator",
    "request", "requests", "response", "model", "table", "schema", "status", "state", "index", "list", "map",
    "limit", "id", "ids", "number", "at", "by", "on", "in", "for", "of", "is", "min", "max", "digest",
    "fingerprint", "thumbprint", "bucket", "region", "space", "template", "rule", "rules", "mode", "option",
    "options", "enabled", "required", "changed", "sha", "md", "crc", "lifetime", "timeout", "interval", "created",
    "updated", "issued", "issuer", "audience", "hash", "hasher", "encoder", "strength", "usage",
})  # fmt: skip
"""At the end of a name: what is told of a secret and is none."""
GIVEN = re.compile(
    r"(?P<rest>[\w-]{0,24})[\"'\]]{0,2}"
    r"(?P<by>(?:\s{0,3}:[ \t]?[\w<>\[\]?.|]{1,30})?\s{0,3}(?::=|=>|=(?!=)|:)(?:[ \t]{0,3}|\s{0,12}(?=[\"'`]))"
    r"|\s?,\s?(?=[\"'])|\((?=[\"'])"
    r"|>(?!\s)|[ \t]{1,3})"
    r"(?:[bruf]?([\"'`])(?P<quoted>[^\"'`\s]{8,200})\3|(?P<plain>[^\s\"'`,;(){}\[\]<>&|\\]{12,200})(?=[\s;,&\"'`<\\]|\Z))"
)
OWN_NAME = re.compile(r"[\w.-]{0,40}\Z")
SPLIT_NAME = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")
STANDS_FOR = re.compile(
    r"example|sample|dummy|change.?me|your|test|fake|xxxx|\*\*\*|placeholder|insert|redacted|replace|todo|foobar|_here\b"
    r"|\$[{(]|\{\{|\{\w*\}|%\(|%[sd]\b|^[$%@]\w+%?$|<\w|^arn:|^!|process\.env|environ|getenv|\benv\.|secrets?\.|vars?\."
    r"|config\.|settings\.|\bself\.|\bthis\.|^(?:https?|file|ssh|s3|gs|vault|ref|enc|data|urn|oauth2?)[:\[]",
    re.IGNORECASE,
)
IS_FILE = re.compile(
    r"\.(?:json|ya?ml|pem|txt|key|crt|cfg|conf|ini|toml|xml|html?|py|js|ts|go|java|rb|php|sh|env|log|md|csv|svg|png|jpg)$",
    re.IGNORECASE,
)
MEMBER = re.compile(r"[A-Za-z_]\w*+(?:\.[A-Za-z_]\w*+)++")
TYPE_LIKE = re.compile(r"[\w.]+[\[<].*[\]>]")
SEGMENT = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
VOWEL, UNSPOKEN = re.compile(r"[aeiouy]"), re.compile(r"[^aeiouy]{4}|[aeiou]{4}|^[^aeiouy]{3}|[jqvxz][^aeiouy]")
SHORT_WORDS = frozenset({
    "api", "app", "aws", "key", "url", "ref", "get", "set", "new", "old", "max", "min", "the", "for", "and", "log",
    "tag", "map", "row", "job", "pod", "env", "dev", "doc", "web", "bot", "jwt", "user", "http", "https", "html",
    "json", "xml", "sql", "tls", "ssl", "ssh", "css", "sha", "hmac", "pbkdf", "with", "auth", "grpc", "not", "has",
    "is", "id",
})  # fmt: skip
SIGNS = frozenset("!@#$%^&*+?~")
DIGITS = re.compile(r"\d")
LETTERS = re.compile(r"[A-Za-z]")
PASSWORDS = frozenset({"password", "passwd", "pwd", "passphrase", "pass", "by"})
HEX = re.compile(r"[0-9a-f]{20,}|[0-9A-F]{20,}")
MIN_HEX_BITS = 3.0  # of sixteen digits, which have 4 at most
MIN_BITS = 3.5  # per character; words have about 3, random letters and digits 4 and more
MAX_WORDS_OF_PATHS = 0.25
MAX_WORDS = 0.55  # of a value's letters and digits that stand in words


def find_assigned(text: str, low: str) -> Iterator[tuple[int, int]]:
    """Where the values stand that are secrets by their names; `low` is the text in lower case."""
    for start, end in _names(text, low):
        if end - start == 4 and (word := REST_OF_PASS.match(text, end)) is not None:  # pass
            end = word.end()
        match = GIVEN.match(text, end)
        if match is None:
            continue
        which = "quoted" if match.group("quoted") else "plain"
        value = match.group(which)
        if DIGITS.search(value) is None or LETTERS.search(value) is None:
            continue
        last = _last_word(text, start, end, match.group("rest"))
        if not last or (not match.group("by").strip() and not _may_follow(text, start, end, which)):
            continue
        if is_secret(value, is_password=last in PASSWORDS, is_quoted=which == "quoted"):
            yield match.span(which)


def is_secret(value: str, *, is_password: bool = False, is_quoted: bool = True) -> bool:
    """Whether a value looks drawn rather than written: letters and digits, few repeated, hardly a word among them."""
    if STANDS_FOR.search(value) or IS_FILE.search(value) or TYPE_LIKE.fullmatch(value) or not DIGITS.search(value):
        return False
    if is_password and is_quoted and _is_chosen(value):
        return True
    is_path = value[0] in "./~#" or (not is_quoted and MEMBER.fullmatch(value) is not None)
    most = MAX_WORDS_OF_PATHS if is_path else MAX_WORDS
    return len(value) >= 12 and looks_random(value) and share_of_words(value) <= most


def looks_random(value: str) -> bool:
    """Letters and digits, few of them repeated."""
    if not DIGITS.search(value) or not LETTERS.search(value):
        return False
    counts = Counter(value)
    bits = -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())
    least = MIN_BITS if HEX.fullmatch(value) is None else MIN_HEX_BITS
    return bits >= min(least, 0.85 * math.log2(len(value)))


def share_of_words(value: str) -> float:
    """The share of letters and digits that stand in what could be spoken: four letters and more, or a common word."""
    found = [word.lower() for word in SEGMENT.findall(value)]
    num_words = sum(len(word) for word in found if word in SHORT_WORDS or (len(word) >= 4 and _is_spoken(word)))
    return num_words / max(1, sum(c.isalnum() for c in value))


def _is_spoken(word: str) -> bool:
    return VOWEL.search(word) is not None and UNSPOKEN.search(word) is None


def _is_chosen(value: str) -> bool:
    """Whether it is as people choose passwords: words, but with signs or a number, and not as names in code are."""
    if not SIGNS.isdisjoint(value):
        return True
    has_name = any(c in value for c in "_.:/ -")
    return not has_name and re.search(r"\d\d", value) is not None and len(set(value)) >= 6


def _last_word(text: str, start: int, end: int, rest: str) -> str:
    """The last word of the name that holds the hit; "" for names of what is no secret."""
    before = OWN_NAME.search(text, max(0, start - 40), end)
    words = SPLIT_NAME.findall(f"{before.group() if before else ''}{rest}")
    while words and words[-1].isdigit():
        words.pop()
    last = words[-1].lower() if words else ""
    if last in NO_SECRETS and not text[start:end].lower().endswith(" by"):
        return ""
    hit = text[start:end].lower()
    if hit == "key" and not rest:
        return last if last == "apikey" or (len(words) > 1 and words[-2].lower() in KEYS) else ""
    if hit == "pass":
        return last if last == "pass" else ""
    return last


def _may_follow(text: str, start: int, end: int, which: str) -> bool:
    """Whether a value may follow a name without a sign between: on a command line, in a header, in SQL, in .netrc."""
    hit = text[start:end].lower()
    if hit == "bearer" or (hit in ("identified by", "password") and which == "quoted"):
        return True
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return "login " in line or line[-30:].rpartition(" ")[2].startswith("--")


def _names(text: str, low: str) -> Iterator[tuple[int, int]]:
    """Where the names that secrets are given to stand. Plain search is many times faster than a pattern."""
    if len(low) != len(text):  # a few letters become two
        yield from (match.span() for match in NAMED.finditer(text))
        return
    for name in NAMES:
        place = low.find(name)
        while place >= 0:
            yield place, place + len(name)
            place = low.find(name, place + len(name))
