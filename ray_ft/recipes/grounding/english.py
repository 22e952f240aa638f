"""Word lists of English that the grounding check reads statements by."""

_NUMBERS = """
    zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen
    eighteen nineteen twenty
"""
NUMBER_WORDS = {word: str(value) for value, word in enumerate(_NUMBERS.split())} | {
    "once": "1", "twice": "2", "thirty": "30", "forty": "40", "fifty": "50", "sixty": "60", "ninety": "90",
}  # fmt: skip

_UNITS = """
    % percent second minute hour day week month quarter year night time ms millisecond microsecond byte kb mb gb tb kib
    mib gib token degree celsius euro dollar pound franc cent mm cm m km metre meter kilometre kilometer centimetre mile
    g mg kg gram kilogram tonne litre liter gallon ml bar psi rpm volt watt kwh hz pixel character word line page
"""
UNITS = frozenset(_UNITS.split())
SAME_UNIT = {
    "min": "minut", "mins": "minut", "sec": "second", "secs": "second", "s": "second", "hr": "hour", "hrs": "hour",
    "h": "hour", "percent": "%", "kilometres": "km", "kilometers": "km", "meter": "metr", "meters": "metr",
    "liter": "litr", "liters": "litr", "euros": "€", "euro": "€", "eur": "€", "dollars": "$", "dollar": "$", "usd": "$",
    "pounds": "£", "pound": "£", "gbp": "£",
}  # fmt: skip
"""Spellings of one unit, as the stem that they share."""

IRREGULAR = {
    "kept": "keep", "held": "hold", "sent": "send", "paid": "pay", "written": "write", "taken": "take", "given": "give",
    "left": "leave", "built": "build", "bought": "buy", "found": "find", "made": "make", "met": "meet", "lost": "lose",
    "told": "tell", "begun": "begin", "began": "begin", "ran": "run", "seen": "see", "chosen": "choose", "lent": "lend",
    "sold": "sell", "shown": "show", "drawn": "draw", "broken": "break", "went": "go", "gone": "go", "worn": "wear",
    "led": "lead", "won": "win",
}  # fmt: skip

_NEGATIONS = """
    not no never none neither nor cannot can't don't doesn't isn't aren't won't mustn't shouldn't without except
"""
NEGATIONS = frozenset(_NEGATIONS.split())

_RELATIONS = """
    before after above below least most over under more less fewer until since inside outside first last only earlier
    later minimum maximum exceeds exceed advance afterwards always never
"""
RELATIONS = frozenset(_RELATIONS.split())
"""Small words that turn one fact into another."""

_GLUE = """
    yes answer passage text document section according state states stated mention happen happens mean means meant
    called call name named number value amount channel command person people thing way case order reason part kind type
    place point use used using need needed require required must should may might can could will would have has had
    get gets become also then them then they their it its he she his her this that these those such there here
    following followed follow include included including contain contains provide provided describe described tell
"""
GLUE = frozenset(_GLUE.split())
"""Words that an honest paraphrase may bring along: they add no fact."""

_SUBORDINATORS = "when if because unless until while before after as since once where to"
SUBORDINATORS = frozenset(_SUBORDINATORS.split())

_CONJUNCTIONS = "and but or while whereas so"
CONJUNCTIONS = frozenset(_CONJUNCTIONS.split())

_ADVERBIALS = "at every on in within for from after before until during per up via through with"
ADVERBIALS = frozenset(_ADVERBIALS.split())
"""What an adverbial begins with that may stand first or last in a sentence."""

_ASKING = "is are was were do does did can could may might must should shall will would has have had"
ASKING = frozenset(_ASKING.split())
"""What a yes-or-no question begins with."""

AUXILIARIES = (
    ASKING
    | frozenset(["a", "an", "the", "of", "to", "in", "on", "at", "for", "by", "it", "its", "this"])
    | (frozenset(["that", "be", "been", "being", "any", "or", "and"]))
)
"""Words that a negation cannot deny."""
