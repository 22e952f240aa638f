"""Values of cells as a sheet shows them: 25%, 3.5 kg, 1,204.50 €, 01.03.2024."""

import datetime
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

GENERAL = ("general", "", "@")
TOKENS = re.compile(
    r"\"[^\"]*+\"|\\.|_.|\*.|\[[^\[\]]*+\]|am/pm|a/p|e[+-]|y+|m+|d+|h+|s+|[#0?]++|.", re.IGNORECASE | re.DOTALL
)
ELAPSED = re.compile(r"\[[hms]+\]", re.IGNORECASE)
MONTHS = ("January", "February", "March", "April", "May", "June", "July", "August", "September", "October", "November",
          "December")  # fmt: skip
DAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
LOCAL_DATES = range(14, 23)  # built-in formats whose order a reader's own settings give: ISO is unambiguous
MAX_DECIMALS, MAX_CODE = 15, 255


@dataclass
class Shown:
    """Formats of a workbook's styles, and the words of a value in one."""

    codes: list[str] = field(default_factory=list)  # of each style; "" shows a value as it is

    @classmethod
    def of(cls, book: Any) -> "Shown":
        """The formats of an open workbook."""
        from openpyxl.styles.numbers import BUILTIN_FORMATS, BUILTIN_FORMATS_MAX_SIZE

        def code(number: int) -> str:
            if number in LOCAL_DATES:
                return ""
            if number < BUILTIN_FORMATS_MAX_SIZE:
                return str(BUILTIN_FORMATS.get(number, ""))
            own = number - BUILTIN_FORMATS_MAX_SIZE
            return str(book._number_formats[own]) if own < len(book._number_formats) else ""

        codes = [code(style.numFmtId) for style in book._cell_styles]
        return cls(["" if found.lower() in GENERAL else found for found in codes])

    def is_formatted(self, style: int) -> bool:
        """Whether a style shows a number otherwise than as it is."""
        return style < len(self.codes) and self.codes[style] != ""

    def __call__(self, value: Any, style: int) -> str:
        """The words of a value on one line."""
        if type(value) is str:
            return " ".join(value.split())
        if value is True or value is False:
            return "TRUE" if value else "FALSE"
        code = self.codes[style] if style < len(self.codes) else ""
        if isinstance(value, (int, float)):
            return shown_number(value, code) if code else _general(value)
        return shown_time(value, code)


def shown_number(value: int | float, code: str) -> str:
    """A number in a format; a format that is none for numbers shows it as it is."""
    code = code[:MAX_CODE]
    form = _form(_section(code, value))
    if isinstance(form, str):
        return form or _general(value)
    if value in (float("inf"), float("-inf")) or value != value:
        return _general(value)
    sections = len(code.split(";"))
    number = abs(value) if value < 0 and sections > 1 else value
    if form.is_scientific:
        words = f"{number:.{form.decimals}E}"
    else:
        scaled = number * 100**form.num_percents / 1000**form.num_thousands
        words = f"{scaled:,.{form.decimals}f}" if form.has_groups else f"{scaled:.{form.decimals}f}"
        if form.optional and "." in words:
            required = len(words) - form.optional
            while len(words) > required and words.endswith("0"):
                words = words[:-1]
            words = words.removesuffix(".")
        sign = "-" if words.startswith("-") else ""
        whole, point, rest = words.removeprefix("-").partition(".")
        words = f"{sign}{whole.zfill(form.digits) if not form.has_groups else whole}{point}{rest}"
    return " ".join(f"{form.before}{words}{form.behind}".split())


def shown_time(value: Any, code: str) -> str:
    """A date, a time or a span in a format."""
    if isinstance(value, datetime.timedelta):
        seconds = round(value.total_seconds())
        sign, seconds = ("-", -seconds) if seconds < 0 else ("", seconds)
        return f"{sign}{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    if not isinstance(value, (datetime.datetime, datetime.date, datetime.time)):
        return " ".join(str(value).split())
    first = code[:MAX_CODE].split(";")[0]
    if not first or ELAPSED.search(first):
        if isinstance(value, datetime.datetime) and value.time() == datetime.time():
            return value.date().isoformat()
        return value.isoformat(" ", "seconds") if isinstance(value, datetime.datetime) else value.isoformat()
    return " ".join(_dated(value, TOKENS.findall(first)).split())


def _dated(value: Any, tokens: list[str]) -> str:
    half_day = any(token.lower() in ("am/pm", "a/p") for token in tokens)
    hour, minute, second = (getattr(value, name, 0) for name in ("hour", "minute", "second"))
    parts: list[str] = []
    last = ""  # of the letters: m behind h is a minute, as it is before s
    for i, token in enumerate(tokens):
        kind = token[0].lower()
        following = next((t[0].lower() for t in tokens[i + 1 :] if t[0].lower() in "hsdmy"), "")
        if token.lower() in ("am/pm", "a/p"):
            parts.append("AM" if hour < 12 else "PM")
        elif kind == "y" and hasattr(value, "year"):
            parts.append(f"{value.year:04d}" if len(token) > 2 else f"{value.year % 100:02d}")
        elif kind == "m" and (last == "h" or following == "s"):
            parts.append(f"{minute:0{min(len(token), 2)}d}")
        elif kind == "m" and hasattr(value, "month"):
            name = MONTHS[value.month - 1]
            parts.append({1: str(value.month), 2: f"{value.month:02d}", 3: name[:3], 5: name[0]}.get(len(token), name))
        elif kind == "d" and hasattr(value, "day"):
            name = DAYS[value.weekday()]
            parts.append({1: str(value.day), 2: f"{value.day:02d}", 3: name[:3]}.get(len(token), name))
        elif kind == "h":
            shown = (hour % 12 or 12) if half_day else hour
            parts.append(f"{shown:0{min(len(token), 2)}d}")
        elif kind == "s":
            parts.append(f"{second:0{min(len(token), 2)}d}")
        else:
            parts.append(_literal(token))
        last = kind if kind in "hsdmy" else last
    return "".join(parts)


@dataclass(frozen=True)
class _Form:
    """What a format makes of a number."""

    before: str
    behind: str
    decimals: int
    optional: int  # of the decimals, those that are not shown as a zero
    digits: int  # that are shown at least
    has_groups: bool
    num_percents: int
    num_thousands: int
    is_scientific: bool


@lru_cache(maxsize=1024)
def _form(section: str) -> _Form | str:
    """Words for a section that shows no digits; "" for what is no format of one number, such as a fraction."""
    before, number, behind = "", "", ""
    percents, scientific, ended = 0, False, False
    for token in TOKENS.findall(section):
        if token[0] in "#0?" or (token in (".", ",") and (number or token == ".") and not ended):
            if ended and token[0] in "#0?" and not scientific:
                return ""
            number += "" if ended else token
        elif token.upper() in ("E+", "E-"):
            scientific = ended = True
        elif token == "/" and number:
            return ""
        else:
            percents += token == "%"
            ended = ended or bool(number)
            before, behind = (before, behind + _literal(token)) if ended else (before + _literal(token), behind)
    if not any(sign in number for sign in "#0?"):
        return before.strip() if '"' in section else ""
    whole, _, rest = number.partition(".")
    stripped = whole.rstrip(",") if not rest else whole
    decimals = rest.rstrip(",")
    places = min(sum(sign in "#0?" for sign in decimals), MAX_DECIMALS)
    return _Form(
        before, behind, places, sum(sign in "#?" for sign in decimals), stripped.count("0"), "," in stripped, percents,
        len(whole) - len(stripped) + len(rest) - len(decimals), scientific,
    )  # fmt: skip


def _section(code: str, value: float) -> str:
    sections = code.split(";")
    if len(sections) == 1 or "[<" in code or "[>" in code or "[=" in code:
        return sections[0]
    if value < 0:
        return sections[1]
    return sections[2] if value == 0 and len(sections) > 2 else sections[0]


def _literal(token: str) -> str:
    """What a part of a format shows by itself: quoted words, an escaped sign, the sign of a currency."""
    if token[0] == '"':
        return token.strip('"')
    if token[0] in "\\":
        return token[1:]
    if token[0] in "_*" and len(token) > 1:
        return " " if token[0] == "_" else ""
    if token.startswith("[$"):
        return token[2:-1].partition("-")[0]
    return "" if token[0] == "[" and len(token) > 1 else token


def _general(value: int | float) -> str:
    if isinstance(value, int):
        return str(value)
    words = f"{value:.11g}"
    return words if "e" not in words else repr(value)
