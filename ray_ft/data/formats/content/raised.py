"""Raised and lowered signs in a line of text: 10³ is not 103."""

SUPERSCRIPTS = str.maketrans("0123456789+-−", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻⁻")
SIMPLE = frozenset("0123456789+-−")
PLAIN = frozenset({"st", "nd", "rd", "th", "tm", "sm", "®", "™", "©", "e", "er", "re", "ème", "o", "a"})


def raised(words: str, before: str) -> str:
    """Raised words as they stand behind a text: 10³, x^n, but 1st."""
    if not _follows(before, ")]}⟩") or words.lower() in PLAIN or not words.strip():
        return words
    if SIMPLE.issuperset(words):
        return words.translate(SUPERSCRIPTS)
    return f"^{words}" if words.isalnum() else f"^({words})"


def lowered(words: str, before: str) -> str:
    """Lowered words as they stand behind a text: x_i, but H2O as it is written everywhere."""
    return f"_{words}" if words[:1].isalpha() and words.isalnum() and _follows(before, ")]") else words


def _follows(before: str, closing: str) -> bool:
    return before[-1:].isalnum() or (before != "" and before[-1] in closing)
