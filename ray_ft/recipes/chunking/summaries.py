"""What a docstring says of its function, without marks for tools; nothing where it only points elsewhere."""

import re

INHERITED = re.compile(r"\{?@inherit_?docs?\}?|</?inherit_?doc\b[^>]*+>|\binheritDoc\b", re.IGNORECASE)
NO_WORDS = re.compile(
    r"#\s*(?:noqa|type:|pylint:|pragma:|nosec|fmt:|mypy:|ruff:)[^\n]*+|\bNOLINT\w*+|<(?:/?p|br\s*/?|/?pre)>",
    re.IGNORECASE,
)
REFERENCE_TAG = re.compile(
    r"\{@(?:link(?:plain)?|code|literal|value)\s++([^{}\s]++)(?:\s[^{}]*+)?\}|<(?:code|c|tt)>([^<>]*+)</(?:code|c|tt)>"
    r"|<(?:see|seealso|paramref|typeparamref)\s++\w++=\"(?:\w:)?([^\"<>]*+)\"\s*+/>"
)
TAG = re.compile(
    r"^[ \t]*+(?:[@\\](?:param|arg|returns?|retval|throws?|exception|raises|type|tparam|template|see|since|author"
    r"|version|deprecated|override|internal|hidden|ignore|private|protected|public|api|link|test|covers|example"
    r"|dataProvider|memberof|function|method|class|constructor|static|async|todo|access|package|suppress|nodoc)\b"
    r"|:(?:param|type|returns?|rtype|raises|meta)\b|<(?:param|returns|exception|typeparam|value|response)\b)"
    r".*(?:\n(?![ \t]*+[@\\:<]\w|[ \t]*+\n).*)*+",
    re.MULTILINE,
)  # with the lines that go on
POINTS = re.compile(
    r"(?:please )?(?:see(?: also)?|cf\.?|refer to|inherit(?:s|ed)?|overrid(?:e|es|den|ing)|overload(?:s|ed)?"
    r"|implement(?:s|ed|ation)?|document(?:ed|ation)?|docs?|same as|as in|copied from"
    r"|@see|specified (?:by|in|from)|required by|part of)\b",
    re.IGNORECASE,
)
ELSEWHERE = re.compile(
    r"\b(?:base|parent|super\w*|interface|abstract|upstream|above|below|docs?|documentation|docstring|javadoc|protocol|trait"
    r"|ancestor|inherit\w*|mixin|method|class|there)\b|`|:\w+:|\w[.:]\w|#\w|\w\(\)|\bI[A-Z]\w+",
    re.IGNORECASE,
)
MAX_POINTER_WORDS = 9
LATER = re.compile(
    r"(?:todo|fixme|xxx|tbd|tba|hack|wip)\b|(?:undocumented|n/?a|none|null|nothing|placeholder|lorem ipsum\b.*|stub"
    r"|(?:there is )?(?:no|missing|needs?|lacks?|add|write|insert|put|your|empty) (?:a |an |the |more |some |better )?"
    r"(?:doc(?:s|strings?|umentation)?|descriptions?|comments?|summary|summaries)\b.*"
    r"|(?:short |brief |long )?(?:docstring|documentation|description|summary|comment)s?"
    r"(?: (?:goes|here|of|for|to come|missing|pending)\b.*)?|auto-?generated .*\bstub"
    r"|\(?non-javadoc\)?.*|:?nodoc:?|not (?:yet )?(?:implemented|documented)(?: yet)?|work in progress"
    r"|(?:default |copy |class |the )?(?:constructor|destructor|initiali[sz]er|ctor|dtor|getter|setter|accessor)"
    r"|method|function|helper(?: function| method)?|internal(?: use)?(?: only)?|private|deprecated|override|main)$",
    re.IGNORECASE,
)
NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_A-Za-z]+")
KIND_WORDS = frozenset({"the", "a", "an", "method", "function", "class", "constructor", "this", "for", "of"})


def told(docstring: str, name: str) -> str:
    """The docstring without marks, or "" where its beginning says nothing of what is called `name`."""
    if not docstring:
        return ""
    words = without_marks(docstring)
    words = REFERENCE_TAG.sub(lambda found: found.group(1) or found.group(2) or found.group(3) or "", words)
    words = "\n".join(line.rstrip() for line in words.split("\n")).strip() if words is not docstring else docstring
    return words if summary_of(words) and not _says_nothing(summary_of(words), name) else ""


def without_marks(words: str) -> str:
    """Words without what only tools read, such as `# noqa` and {@inheritDoc}."""
    is_marked = "#" in words or "<" in words or "nherit" in words or "NOLINT" in words
    return NO_WORDS.sub("", INHERITED.sub("", words)) if is_marked else words


def summary_of(docstring: str) -> str:
    """The first paragraph without tags such as @param; what @return says where there is nothing else."""
    plain = TAG.sub("", docstring).strip() if _has_tags(docstring) else docstring
    if not plain and (found := re.search(r"(?:@returns?|:returns?:|<returns>)\s+([^\n<]+)", docstring)):
        plain = f"Returns {found.group(1)}"
    return " ".join(plain.partition("\n\n")[0].split())


def _has_tags(docstring: str) -> bool:
    return any(mark in docstring for mark in "@\\:<")


def _says_nothing(summary: str, name: str) -> bool:
    """Whether a summary points to another, is to be written, or repeats the name."""
    plain = summary.strip(" .!:;*-_\"'()[]{}<>/")
    if not any(c.isalpha() for c in plain) or LATER.match(plain):
        return True
    if POINTS.match(plain) and len(plain.split()) <= MAX_POINTER_WORDS and ELSEWHERE.search(plain):
        return True
    said = _name_words(plain)
    return said in (_name_words(name), _name_words(name.rpartition(".")[2])) or not said


def _name_words(words: str) -> tuple[str, ...]:
    return tuple(w for w in map(str.lower, NAME_WORD.findall(words[:200])) if w not in KIND_WORDS)
