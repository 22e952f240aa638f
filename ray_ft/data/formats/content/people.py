"""Lists of who made a project: accounts and names, nothing that anybody could learn."""

import re
from collections.abc import Sequence

HOSTS = (
    r"(?:github\.com|gitlab\.com|bitbucket\.org|codeberg\.org|twitter\.com|x\.com|keybase\.io|mastodon\.social"
    r"|www\.linkedin\.com/in)"
)
PERSON = re.compile(
    rf"[ \t]*+(?:[-*+]|\d{{1,3}}[.)])[ \t]++[*_]{{0,2}}\[[^\[\]\n]{{1,80}}\]\(https?://{HOSTS}/@?[\w.-]{{1,60}}/?\)"
    r"[*_]{0,2}(?P<rest>[^\n]{0,60})"
)
MIN_PEOPLE = 2


def names_people(lines: Sequence[str]) -> bool:
    """Whether each item of a list is a link to somebody's account, with hardly more than the name."""
    items = [line for line in lines if line.strip()]
    return len(items) >= MIN_PEOPLE and all(PERSON.fullmatch(line) for line in items)
