"""What a docstring says of its function, without marks for tools; nothing where it only points elsewhere."""

import re
from functools import lru_cache

from ray_ft.recipes.chunking.doc_marks import INHERITED, plain_words
from ray_ft.words import num_words

TAG = re.compile(
    r"^[ \t]*+(?:@[A-Za-z]|\\(?:param|arg|returns?|retval|throws?|exception|raises|type|tparam|see|since|author"
    r"|version|deprecated|internal|private|public|link|example|class|todo)\b"
    r"|:(?:param|type|returns?|rtype|raises|meta)\b|- (?:Parameters?|Returns?|Throws)\b[^:\n]*+:"
    r"|<(?:param|returns|exception|typeparam|value|response)\b)"
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
RETURNS = re.compile(r"(?:@returns?|:returns?:|<returns>)\s+([^\n]+(?:\n(?![ \t]*+[@\\:<]\w|[ \t]*+\n).+)*+)")
IS_TYPE = re.compile(
    r".*[\[\]{}|<>\\&?*].*|(?:int|integer|str|string|bool|boolean|float|double|number|array|list|dict|object"
    r"|mixed|void|null|none|true|false|self|static|callable|iterable|promise|function|bytes|char|long)",
    re.IGNORECASE,
)
IS_ARTICLE = re.compile(r"the|an?|this|whether|all|one|if|number of", re.IGNORECASE)
IS_CASE = re.compile(
    r"`?(?:true|false|none|null|nil)`? (?:if|when|on|for|unless|otherwise|once|as|in)\b", re.IGNORECASE
)
MIN_RETURNED = 3  # words, or it is hardly more than a type
MIN_ANNOUNCED = 6  # words of a sentence that ends with a colon, of which what follows is cut
NO_SUMMARY = re.compile(
    r"\.\.|…|={2,} |#{2,} |n\.b\.|this (?:method|function|class) is (?:for internal|internal|private|deprecated)\b"
    r"|(?:all |the |these |following ){0,3}(?:methods|functions|members|fields) (?:below|above|here|which|must|are)\b"
    r"|(?:requires?|pre-?conditions?|note|nb|warning|caution|important|deprecated|hack|usage|examples?)"
    r"(?::|\.| that\b)|@\w|:docstring|https?:|(?:adapted|ported|copied|taken|derived|borrowed|related) (?:from|to)\b",
    re.IGNORECASE,
)  # goes on with another comment, is a heading, or tells what to heed or where it comes from instead of what is done
REMARK = re.compile(
    r"(?:on|as|unlike|because|while|although|though|due to|since) [^.,]{2,80},"
    r"|(?:only )?(?:call|use|invoke) (?:this|it|only|when|with|before|after|from)\b|[\w-]{1,30} \w{1,6}n't\b"
    r"|this (?:function|method|routine|macro) (?:may|must|should|needs? to|has to|assumes|requires|expects"
    r"|is(?! (?:like|used|similar|the|an?|called|equivalent|identical|meant|designed|responsible)\b))\b"
    r"|(?!test|check|ensur|verify|assert|making)\w{1,20}ing [^.]{3,80} (?:is|are|also|leads|causes|results in|means)\b"
    r"|[^.]{0,50}\b(?:issue|bug|ticket|pull request)[ #-]{1,3}\d{1,6}\W{0,3}$"
    r"|(?:the |an? |all |these |only )?[\"'`+*]?[\w.-]{1,40}[\"'`+*]?(?: to be \w{1,20}| \w{1,20}){0,2}"
    r" must (?:not |never |only |always )?(?:be|remain|have|stay|hold)\b"
    r"|(?:can't|cannot|can not|these|below|no longer|place ?holder|the following|to be (?:called|used|overrid\w*)"
    r"|we|don't|hopefully|unfortunately|ideally|maybe|perhaps|technically|strictly speaking|looks like|relies on"
    r"|i (?:think|guess|assume|am|don't|have)|not (?:strictly|really|actually|meant|intended)|global set|callback from"
    r"|for (?:historical|legacy|backwards?|compat\w*|tests?|testing|internal)|partial(?:ly)? implement\w+"
    r"|(?:an? |the |dirty |ugly |temporary |quick ){0,3}(?:work-?around|hack|kludge)|temporary (?:fix|measure|code)"
    r"|internal (?:node|interface|function|method|class|use)|used (?:only|once)"
    r"|this (?:method|function|class)? ?is (?:only |just |merely )?(?:an? convenience|needed|required|necessary|here)"
    r"|(?:private|public|protected|static|virtual|final|visible|separated?|split(?: out)?|extracted|moved|factored out"
    r"|kept|left|exposed|needed|required|necessary|added|placed|broken out|pulled out|inlined?|duplicated?|made \w+"
    r"|only|intended) (?:from|out|here|so|to|for|because|since|due|in order|until|when|rather|instead|used|meant))\b",
    re.IGNORECASE,
)  # to authors: why it is written so, where and for whom, instead of what it does
WE = re.compile(
    r"[^.]{0,100}\b(?:so|since|because|as|here|where) we (?:should|must|need|have|can|do|don't|are|want|use|only)\b",
    re.IGNORECASE,
)
TAKEN = re.compile(
    r"[^.]{0,60}\b(?:was|were|is|are) (?:taken|copied|adapted|borrowed|ported|derived|stolen) from\b", re.IGNORECASE
)
GROUP = re.compile(
    r"(?!(?:\w+s|get|set|return|add|find|list|call|run|create|register|load|collect|build|make|resolve|define|check"
    r"|remove|print|generate|parse|apply|wrap|bind|invoke|import|export|install|patch|mock|test) )"
    r"(?:[\w'/-]{1,40} ){0,5}(?:methods|functions|constructors|accessors|getters|setters|helpers|operators|overrides)"
    r"\W{0,3}",
    re.IGNORECASE,
)  # the heading of several
SEVERAL = re.compile(
    r"(?:[\w'-]{1,40}[ /]){0,3}(?:accessors|mutators|getters|setters|helpers|conversions|constructors|utilities"
    r"|shortcuts|variants|routines|overloads|aliases) (?:for|of|between|that|which|to|from|with|used)\b",
    re.IGNORECASE,
)  # and of functions, where a class may be one of them
TWIN = re.compile(
    r"(?:called|invoked|runs?|executed|used) (?:from|by|in|on|inside|within)"
    r" (?![^.]{0,40} (?:to|as|and) )[^.]{1,40}\W?"
    r"|(?:the |an? )?(?:(?:base|default|internal|private|low-level|inner|actual|public|common) ){0,2}"
    r"(?:implementation|version|variant|equivalent|wrapper|alias|counterpart|part|half|specialization)"
    r" (?:of|for|around|to|from) \S{1,80}"
    r"|(?:creates?|returns?|makes?|builds?) (?:a|the) (?:function|method|class|object|version) like \S{1,80}",
    re.IGNORECASE,
)  # names another, or who calls it, and says nothing of it
ADDS = re.compile(r"(?:the|this|these|if|when|note|an?|also|in addition|additionally)\b", re.IGNORECASE)
"""How words begin that come on top of inherited ones."""
USAGE = re.compile(
    r"(?:usage|format|syntax|synopsis|signature|prototype)s?:[^\n]*+|[\w.:$-]++ ?\([^()\n]*+\)(?: ?-> ?\S++)?;?",
    re.IGNORECASE,
)  # a first paragraph that only says how to call it
CONSTRUCTORS = frozenset({"__init__", "initialize", "__construct", "constructor", "init"})
ARTICLES = ("A ", "An ", "The ")
MAX_REPEATING = 12  # words of a summary that may be no more than the name
MAX_WORD = 12  # characters of most words
FILLERS = frozenset({
    "a", "an", "the", "of", "for", "thi", "that", "to", "in", "on", "from", "with", "by", "and", "or", "is", "are",
    "be", "it", "s", "current", "giv", "specifi", "new", "own", "as", "at", "return", "get", "set", "getter", "setter",
    "represent", "valu", "object", "instanc", "helper", "func", "do", "doe", "use", "us",
})  # fmt: skip
"""Words that say nothing beside a name, as `_stem` gives them."""
MIN_ANSWER = 12  # words of a docstring, and of its summary those that the name does not have
MIN_NEWS = 4  # words of a summary beside the name's that need no more
MAX_MORE = 400  # characters of what is put behind others
ASIDE = re.compile(
    r"[\w ]{1,30}:|(?:note|deprecated|see|for (?:example|more)|equivalent to|be warned|you (?:must|should|need)"
    r"|this (?:method|function) (?:is|should|must|has been|was)|(?:do not|don't|never) (?:use|call)|unlike|since)\b",
    re.IGNORECASE,
)  # a paragraph behind the first that says nothing more of what is done
KIND_WORDS = frozenset({"the", "a", "an", "method", "function", "class", "constructor", "this", "for", "of"})


@lru_cache(maxsize=8192)
def told(docstring: str, name: str, language: str = "", is_class: bool = False) -> str:
    """The docstring without marks, or "" where its beginning says nothing of what is called `name`."""
    if not docstring:
        return ""
    words = plain_words(docstring, language)
    summary = summary_of(words)
    if not summary or _says_nothing(summary, name) or not (is_class or _is_of_function(summary, name)):
        return ""
    if ADDS.match(summary) and INHERITED.match(docstring):
        return ""
    is_all = "\n\n" not in _without_tags(words)
    return "" if is_all and _repeats(summary, name) else words


def news_of(summary: str, name: str) -> int:
    """How many words of a summary say something that the name does not."""
    words = {*map(_stem, name_words(summary))} - FILLERS - {*map(_stem, name_words(name))}
    return sum(map(num_words, words))  # a run of a script without spaces is several


def answers(docstring: str, name: str) -> bool:
    """Whether a docstring says enough of what is called `name` to answer what that does."""
    if not _without_tags(docstring):
        return False
    num_told = num_words(docstring)
    return num_told >= MIN_ANSWER or num_told + news_of(summary_of(docstring), name) >= MIN_ANSWER


def with_more(docstring: str, name: str) -> str:
    """The summary, with the paragraph behind it where it says little more than the name."""
    summary = summary_of(docstring)
    if not summary or "\n\n" not in docstring or news_of(summary, name) >= MIN_NEWS:
        return summary
    first, _, rest = _without_tags(docstring).lstrip("\n").partition("\n\n")
    more = summary_of(rest) if " ".join(first.split()) == summary else ""
    is_prose = more[:1].isalnum() and more.endswith((".", "!", "?")) and len(more) <= MAX_MORE
    if not is_prose or ASIDE.match(more) or NO_SUMMARY.match(more) or _is_remark(more):
        return summary
    return f"{summary.rstrip('.')}. {more}"


@lru_cache(maxsize=4096)
def summary_of(docstring: str) -> str:
    """The first paragraph without tags such as @param, up to its last whole sentence; else what @return says."""
    plain = _without_tags(docstring)
    if not plain and (found := RETURNS.search(docstring)):
        plain = _returned(found.group(1))
    first, _, rest = plain.lstrip("\n").partition("\n\n")
    if rest and USAGE.fullmatch(first):
        first = rest.lstrip("\n").partition("\n\n")[0]
    words = " ".join(first.split())
    words = words[2:].lstrip() if words[:2] in ("* ", "- ") else words
    if not words.endswith((":", "::")):
        return words
    whole, _, announced = words.rpartition(". ")
    return f"{whole}." if whole else words if num_words(announced) >= MIN_ANNOUNCED else ""


def _returned(words: str) -> str:
    """What a @return tag says in words; "" where it only has a type, or hardly more."""
    words = " ".join(words.partition("</returns>")[0].split())
    typed, rest = _typed(words)
    is_said = IS_ARTICLE.fullmatch(typed) or IS_CASE.match(words)
    if not is_said and (IS_TYPE.fullmatch(typed) or not rest or rest[0].isupper()):
        words = rest
    if num_words(words) < MIN_RETURNED:
        return ""
    return f"Returns {words[0].lower() if words[1:2].islower() else words[0]}{words[1:]}"


def _typed(words: str) -> tuple[str, str]:
    """The type that words begin with, up to its last bracket, and what follows it."""
    depth = 0
    for i, c in enumerate(words):
        depth += (c in "<[{(") - (c in ">]})")
        if c == " " and depth <= 0:
            return words[:i], words[i + 1 :]
    return (words, "") if depth <= 0 else (words.partition(" ")[0], words.partition(" ")[2])


@lru_cache(maxsize=4096)
def _without_tags(docstring: str) -> str:
    return TAG.sub("", docstring).strip() if any(mark in docstring for mark in "@\\:<") else docstring


def _says_nothing(summary: str, name: str) -> bool:
    """Whether a summary points to another, is to be written, heads a group, or repeats the name."""
    if NO_SUMMARY.match(summary) or _is_remark(summary):
        return True
    if GROUP.fullmatch(summary) or USAGE.fullmatch(summary) or TWIN.fullmatch(summary):
        return True
    plain = summary.strip(" .!:;*-_\"'()[]{}<>/")
    if not any(c.isalpha() for c in plain) or LATER.match(plain):
        return True
    if POINTS.match(plain) and num_words(plain) <= MAX_POINTER_WORDS and ELSEWHERE.search(plain):
        return True
    said = name_words(plain)
    return said in (name_words(name), name_words(name.rpartition(".")[2])) or not said


def _is_remark(summary: str) -> bool:
    """Whether words are to authors: why something is written so, where it is from, what others must do."""
    if " we " in summary and WE.match(summary):
        return True
    return (" from" in summary and TAKEN.match(summary) is not None) or REMARK.match(summary) is not None


def _is_of_function(summary: str, name: str) -> bool:
    """Whether a summary is of one function: neither the heading of several, nor what a constructor's class is."""
    scope, _, own = name.rpartition(".")
    is_constructor = own in CONSTRUCTORS or own == scope.rpartition(".")[2].partition("<")[0]
    return not (SEVERAL.match(summary) or (is_constructor and summary.startswith(ARTICLES)))


def _repeats(summary: str, name: str) -> bool:
    """Whether a summary says no more than a name and the class that it stands in."""
    if len(summary) > MAX_REPEATING * MAX_WORD:
        return False
    said = name_words(summary)
    return len(said) <= MAX_REPEATING and {*map(_stem, said)} - FILLERS <= {*map(_stem, name_words(name))}


def name_words(words: str) -> tuple[str, ...]:
    """The words of a name or of a short text, in lower case, without those for kinds of things."""
    return tuple(w for w in map(str.lower, NAME_WORD.findall(words[:200])) if w not in KIND_WORDS)


@lru_cache(maxsize=1 << 14)
def _stem(word: str) -> str:
    """A word without the ending of its number or tense."""
    for ending in ("ing", "es", "ed", "s", "e"):
        if len(word) - len(ending) > 2 and word.endswith(ending):
            return word[: -len(ending)]
    return word
