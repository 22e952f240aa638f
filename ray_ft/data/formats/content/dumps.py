"""Dumps: numbers, bytes and encoded files that stand in a document, and that nobody reads."""

import re

MIN_LENGTH, MIN_LINES = 400, 8  # a short listing of numbers is an example
SAMPLE = 4_000  # characters that are looked at
LETTERS = {code: None for code in range(128) if chr(code).isalpha()}
NO_HEX = {code: None for code in LETTERS if chr(code) not in "abcdefABCDEF"}
LONG = 50  # characters without white space
MAX_LETTERS, MIN_DIGITS = 0.1, 0.4  # shares of the characters that are no white space
ENCODED_LINE = re.compile(r"(?m)^[ \t>]*+[A-Za-z0-9+/_-]{60,}+={0,2}+[ \t\"',\\]*+$")
HEX = re.compile(r"(?<!\w)(?:0x)?[0-9A-Fa-f]{2}(?:[0-9A-Fa-f]{2}){0,7}(?!\w)")
MIN_SHARE = 0.7  # of lines that are encoded, or of words that are bytes


def is_dump(text: str) -> bool:
    """Whether a listing or a paragraph holds little else than numbers, bytes or an encoded file."""
    if len(text) < MIN_LENGTH:
        return False
    head = text[:MIN_LENGTH]
    if (
        len(head) - len(head.translate(NO_HEX)) > MAX_LETTERS * len(head)
        and max(map(len, head.split()), default=0) < LONG
    ):
        return False  # words, as nearly everywhere
    text = text[:SAMPLE].strip("`~\n ")
    words = text.split()
    dense = sum(map(len, words))
    others = dense - sum(len(word.translate(LETTERS)) for word in words)
    if others <= MAX_LETTERS * dense:
        digits = sum(character.isdigit() for character in text)
        return digits >= MIN_DIGITS * dense
    encoded = sum(len(match.group(0)) for match in ENCODED_LINE.finditer(text))
    if encoded >= MIN_SHARE * len(text):
        return True
    in_bytes = sum(len(match.group(0)) for match in HEX.finditer(text)) if text.count("\n") >= MIN_LINES else 0
    return in_bytes >= MIN_SHARE * dense
