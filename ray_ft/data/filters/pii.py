"""Personal data in a text by patterns with checks: addresses, telephone numbers, numbers of accounts and people.

With the extra `presidio`, its analyser finds more (see data.personal_data); names of people need its language models.
"""

import re
from collections.abc import Callable, Iterator
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
    r"|\(\d{3}\) ?\d{3}[ .-]\d{4}|[2-9]\d{2}[.-][2-9]\d{2}[.-]\d{4})"
    r"(?![\w/=-]|[.,]\d)"
)
CARD = re.compile(r"(?<![\w.+-])[3-6]\d{3}(?:[ -]?\d{4}){2}[ -]?\d{1,4}(?:[ -]?\d{3})?(?![\w-]|\.\d)")
US_SSN = re.compile(r"(?<![\w.-])(?!000|666|9\d\d)\d{3}-(?!00)\d{2}-(?!0000)\d{4}(?![\w-])")
NUMBER = re.compile(r"[+(\d][\d ().-]{8,}")  # what every one of the three above begins with and goes on in
MIN_DIGITS = 7  # of the shortest of them
ISSUED = re.compile(  # beginnings and lengths that networks of cards give out (ISO/IEC 7812)
    r"4(?:\d{12}|\d{15}|\d{18})|(?:5[1-5]|2[2-7])\d{14}|3[47]\d{13}|(?:6011|64[4-9]\d|65\d\d)\d{12}"
    r"|35(?:2[89]|[3-8]\d)\d{12}|3(?:0[0-5]|[68]\d)\d{11}|62\d{14,17}|(?:50|5[6-9]|6[0-9])\d{11,17}"
)
CONTEXT = 64  # characters before a number whose words say what it is
CARD_WORD = re.compile(
    r"\b(?:credit|debit|visa|master ?card|amex|american express|maestro|payment|pay(?:s|ing|ed)? with|charged?"
    r"|card(?: ?(?:no|num|number|#)\.?)?|cc(?:_?num(?:ber)?|n)?|pan|kreditkarte|karte(?:nnummer)?)\b",
    re.IGNORECASE,
)
OTHER_WORD = re.compile(
    r"\b(?:serial|part|order|ticket|invoice|case|article|item|batch|lot|model|product|tracking|reference|ref|customer|document"
    r"|sequence|build|version|revision|release|id|ids|uid|guid|imei|imsi|iccid|mac|isbn|issn|ean|upc|gtin|sku|doi|epoch"
    r"|timestamps?|micro-?seconds?|milli-?seconds?|nano-?seconds?|seconds|time|hash|checksum|crc|commit|digest|constants?"
    r"|bounds?|limits?|ranges?|offsets?|address|seed|prime|coefficients?|factors?|table|bits|bytes|counter|count|value|magic"
    r"|port|ip|extension|section|page|rows?|max(?:imum)?|min(?:imum)?|test|mod(?:ulus)?)\b",
    re.IGNORECASE,
)
IBAN_LENGTHS = {
    "AD": 24, "AE": 23, "AL": 28, "AT": 20, "AZ": 28, "BA": 20, "BE": 16, "BG": 22, "BH": 22, "BR": 29, "BY": 28,
    "CH": 21, "CR": 22, "CY": 28, "CZ": 24, "DE": 22, "DK": 18, "DO": 28, "EE": 20, "EG": 29, "ES": 24, "FI": 18,
    "FO": 18, "FR": 27, "GB": 22, "GE": 22, "GI": 23, "GL": 18, "GR": 27, "GT": 28, "HR": 21, "HU": 28, "IE": 22,
    "IL": 23, "IQ": 23, "IS": 26, "IT": 27, "JO": 30, "KW": 30, "KZ": 20, "LB": 28, "LC": 32, "LI": 21, "LT": 20,
    "LU": 20, "LV": 21, "LY": 25, "MC": 27, "MD": 24, "ME": 22, "MK": 19, "MR": 27, "MT": 31, "MU": 30, "NL": 18,
    "NO": 15, "PK": 24, "PL": 28, "PS": 29, "PT": 25, "QA": 29, "RO": 24, "RS": 22, "SA": 24, "SC": 31, "SE": 24,
    "SI": 19, "SK": 24, "SM": 27, "ST": 25, "SV": 28, "TL": 23, "TN": 24, "TR": 26, "UA": 29, "VA": 22, "VG": 24,
    "XK": 20,
}  # fmt: skip
"""Characters of an account number by its country (the registry of ISO 13616)."""
IBAN = re.compile(r"[A-Z]{2}\d{2}(?: ?[A-Z0-9]{4}){2,7}(?: ?[A-Z0-9]{1,3})?\b")
PRESIDIO_SCORE = 0.6


def find_pii(text: str, *, is_code: bool = False) -> Iterator[Found]:
    """Every address and number that passes its check; numbers of code are constants unless a name says else."""
    yield from _emails(text)
    for match in IBAN.finditer(text):
        if not (match.start() and text[match.start() - 1].isalnum()) and _is_iban(match.group()):
            yield Found(match.start(), match.end(), "IBAN")
    for run in NUMBER.finditer(text):
        if sum(map(str.isdigit, run.group())) < MIN_DIGITS:
            continue
        start, end = run.start(), min(len(text), run.end() + 2)
        for kind, pattern, check in NUMBERS:
            for match in pattern.finditer(text, start, end):
                if check(match.group()) and _is_personal(text, match.start(), match.end(), kind, is_code):
                    yield Found(match.start(), match.end(), kind)


def _is_personal(text: str, start: int, end: int, kind: str, is_code: bool) -> bool:
    """Whether what stands before a number does not call it something else, and code does not reckon with it."""
    line = text.rfind("\n", max(0, start - CONTEXT), start) + 1 or max(0, start - CONTEXT)
    before = text[line:start].replace("_", " ")
    other = max((found.end() for found in OTHER_WORD.finditer(before)), default=-1)
    named = max((found.end() for found in CARD_WORD.finditer(before)), default=-1) if kind == "CARD_NUMBER" else -1
    if other > named:
        return kind == "PHONE" and text[start] == "+"
    if not is_code or named >= 0 or kind == "SOCIAL_SECURITY_NUMBER":
        return True
    found = text[start:end]
    is_quoted = text[start - 1 : start] in ('"', "'", "`") and text[end : end + 1] == text[start - 1]
    # An operator before makes it a sum; digits alone are a number.
    is_sum = before.rstrip()[-1:].isalnum() and not _in_words(text, start)
    return is_quoted or (not found.isdigit() and not (found[:1] == "+" and found[1:].isdigit() and is_sum))


def _in_words(text: str, start: int) -> bool:
    """Whether a place is in a comment or a string of its line, by what opens these."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    return any(mark in line for mark in ("#", "//", "*", '"', "'", "--"))


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


def _is_phone(found: str) -> bool:
    """Seven to fifteen digits (E.164), not all alike."""
    digits = re.sub(r"\D", "", found)
    return (8 if found.startswith("+") else 7) <= len(digits) <= 15 and len(set(digits)) > 2


def _is_card(found: str) -> bool:
    """Luhn's check (ISO/IEC 7812-1), which a row of zeros would pass too."""
    digits = [int(c) for c in found if c.isdigit()]
    if not 13 <= len(digits) <= 19 or len(set(digits)) < 2 or not ISSUED.fullmatch("".join(map(str, digits))):
        return False
    doubled = [sum(divmod(2 * d, 10)) if i % 2 else d for i, d in enumerate(reversed(digits))]
    return sum(doubled) % 10 == 0


def _is_iban(found: str) -> bool:
    """The length of its country, and remainder 1 modulo 97 (ISO 13616)."""
    plain = found.replace(" ", "")
    moved = plain[4:] + plain[:4]
    return IBAN_LENGTHS.get(plain[:2]) == len(plain) and int("".join(str(int(c, 36)) for c in moved)) % 97 == 1


NUMBERS: tuple[tuple[str, re.Pattern[str], Callable[[str], bool]], ...] = (
    ("CARD_NUMBER", CARD, _is_card),
    ("SOCIAL_SECURITY_NUMBER", US_SSN, lambda found: True),
    ("PHONE", PHONE, _is_phone),
)
"""What is searched in runs of digits, with the check of each."""
