"""Personal data in a text by patterns with checks: addresses, telephone numbers, numbers of accounts and people.

With the extra `presidio`, its analyser finds more (see data.personal_data); names of people need its language models.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any

from ray_ft.data.filters.secrets import Found
from ray_ft.errors import MissingDependencyError

LOCAL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._%+-]{0,63}$")
DOMAIN = re.compile(r"(?:[A-Za-z0-9-]{1,63}\.)+[A-Za-z]{2,24}(?![\w@-])")
NOBODY = re.compile(
    r"@(?:[\w-]+\.)*(?:example\.(?:com|org|net)|example|test|invalid|localhost|local)$|^(?:git|hg|noreply|no-reply)@"
    r"|\.(?:png|jpe?g|gif|svg|webp|ico|js|css|py|md)$",
    re.IGNORECASE,
)  # names that are reserved (RFC 2606), machines, and names of files such as icon@2x.png
PHONE = re.compile(
    r"(?<![\w.+/=#-])(?:\+\d{1,3}[ .-]?(?:\(0?\d{1,4}\)[ .-]?)?\d{1,4}(?:[ .-]?\d{2,4}){1,4}"
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|\d{3}[.-]\d{3}[.-]\d{4})"
    r"(?![\w/=-]|[.,]\d)"
)
CARD = re.compile(r"(?<![\w.+-])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,4}(?:[ -]?\d{3})?(?![\w-]|\.\d)")
US_SSN = re.compile(r"(?<![\w.-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
NUMBER = re.compile(r"[+(\d][\d ().-]{8,}")  # what every one of the three above begins with and goes on in
MIN_DIGITS = 7  # of the shortest of them
IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
PRESIDIO_SCORE = 0.6


def find_pii(text: str) -> Iterator[Found]:
    """Every address and number that passes its check."""
    yield from _emails(text)
    yield from _checked(IBAN.finditer(text), "IBAN", _is_iban)
    for run in NUMBER.finditer(text):
        if sum(map(str.isdigit, run.group())) < MIN_DIGITS:
            continue
        start, end = run.start(), min(len(text), run.end() + 2)
        yield from _checked(CARD.finditer(text, start, end), "CARD_NUMBER", _is_card)
        yield from _checked(US_SSN.finditer(text, start, end), "SOCIAL_SECURITY_NUMBER", lambda found: True)
        yield from _checked(PHONE.finditer(text, start, end), "PHONE", _is_phone)


def _emails(text: str) -> Iterator[Found]:
    """Addresses around each @, of people rather than of machines and examples."""
    place = text.find("@")
    while place >= 0:
        local = LOCAL.search(text[max(0, place - 65) : place])
        domain = DOMAIN.match(text, place + 1)
        if local and domain and not NOBODY.search(f"{local.group()}@{domain.group()}"):
            yield Found(place - len(local.group()), domain.end(), "EMAIL")
        place = text.find("@", place + 1)


def find_by_presidio(text: str) -> Iterator[Found]:
    """What presidio's analyser is sure of. Raises MissingDependencyError without the extra."""
    for found in _analyser().analyze(text=text, language="en", score_threshold=PRESIDIO_SCORE):
        yield Found(found.start, found.end, str(found.entity_type))


@cache
def _analyser() -> Any:
    try:
        from presidio_analyzer import AnalyzerEngine
    except ImportError:
        raise MissingDependencyError(
            "data.personal_data=presidio needs the package presidio-analyzer: pip install 'ray_ft[presidio]', and a "
            "model: python -m spacy download en_core_web_lg"
        ) from None
    return AnalyzerEngine()


def _checked(matches: Iterable[re.Match[str]], kind: str, check: Callable[[str], bool]) -> Iterator[Found]:
    for match in matches:
        if check(match.group()):
            yield Found(match.start(), match.end(), kind)


def _is_phone(found: str) -> bool:
    """Seven to fifteen digits (E.164), not all alike."""
    digits = re.sub(r"\D", "", found)
    return (8 if found.startswith("+") else 7) <= len(digits) <= 15 and len(set(digits)) > 2


def _is_card(found: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1), which a row of zeros would pass too."""
    digits = [int(c) for c in found if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2:
        return False
    doubled = [sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _is_iban(found: str) -> bool:
    """Remainder 1 modulo 97 (ISO 13616)."""
    plain = found.replace(" ", "")
    moved = plain[4:] + plain[:4]
    return 15 <= len(plain) <= 34 and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1
