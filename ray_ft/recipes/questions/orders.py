"""Headings that tell somebody to do something: `Install the pump` does, `Stop words` and `Release procedure` do not.

Many English verbs are nouns too. What stands behind them decides: an article or a pronoun makes a verb, and where
nothing tells, the heading is taken for a noun, since a strange question does more harm than a plain one.
"""

import re

_VERBS = """
    add align allow apply assemble assign attach avoid choose combine compile configure connect convert create
    customise customize declare define delete deploy describe detach detect determine disable disassemble
    dismantle enable ensure evaluate execute extract fasten fine-tune generate identify implement improve
    inspect install integrate learn loosen make manage migrate minimise minimize modify obtain optimise optimize
    perform prepare prevent provide publish reconnect recover reduce refill reinstall remove rename replace
    resolve restore retrieve serve simplify solve specify submit synchronise synchronize tighten understand
    uninstall unlock unplug validate verify
"""
_ALSO_NOUNS = """
    adjust answer ask back balance block book boot bring build buy calculate calibrate call catch change charge
    check clean clear click close collect compare compute control copy cut debug design display download drain
    draw drill drive drop dry dump edit empty enter estimate exchange export extend feed fetch fill filter find
    fit fix flash flush fold format get give grant grease group guard handle hang heat help hide hold import
    include index insert invite invoke join keep launch leave lift limit link list load lock log look lower
    lubricate map mark measure merge mix monitor mount move name open order override pack parse pass patch pay
    pick plan plug pour press print process profile protect pull pump purge push put query read rebuild record
    refresh register release rent repair repeat report request reset restart resume retry return review revoke
    rinse rotate route run save scale scan schedule seal search secure select sell send set shape share ship
    show shut sign skip sort split start stop store stream switch sync take talk tell test trace track train
    transfer trigger trim tune turn type update upgrade upload use view visit wait wash watch weld wipe wrap
    write
"""
_DETERMINERS = """
    the a an your my our their its his her this that these those all any each every both some
"""
_MOVING = """
    upgrade update switch log read copy export sync print return move sign plug transfer start run build test
"""
_THINGS = """
    action actions api area argument arguments attribute attributes bit block book box buffer button buttons
    class clause clauses code command commands condition data date detail details directive directives directory
    driver error errors event events example examples field fields file files flag flags form format function
    functions group guide history hook hooks instruction instructions interface issue issues key keyword
    keywords level line list lock log macro macros menu message messages method methods mode modes name names
    notes number object objects operation operations operator operators option options order overview page
    parameter parameters path permission permissions phase point points policies policy privilege privileges
    procedure procedures process program properties property queries query rate reason report request requests
    requirements result results role rule rules script section sequence set settings signal size state statement
    statements status step steps string syntax system tab table tag test tests time tool tools type types
    utility value values variable variables version window words
"""
VERBS, ALSO_NOUNS = frozenset(_VERBS.split()), frozenset(_ALSO_NOUNS.split())
DETERMINERS, NAMES_OF_THINGS = frozenset(_DETERMINERS.split()), frozenset(_THINGS.split())
PARTICLES = frozenset({"up", "off", "on", "out", "in", "down", "back", "away", "over"})
MOTIONS = frozenset({"to", "from", "with", "without", "into", "onto"})
MOVING = frozenset(_MOVING.split())
FOR = frozenset({"search", "look", "wait", "check", "watch", "ask"})
PRONOUNS = frozenset({"it", "them", "this", "that", "these", "those", "one", "more"})
SMALL = DETERMINERS | PARTICLES | MOTIONS | {"for", "of", "and", "or"}
HOW_TO = re.compile(r"how to:?\s+", re.IGNORECASE)
NO_ACTIONS = frozenset({"guide", "guides", "manual", "manuals", "article", "articles", "video", "videos"})
WORD = re.compile(r"[^\W\d_]+(?:-[^\W\d_]+)?")


def order_of(title: str) -> str:
    """`Install Ray` or `How to install Ray` as `install Ray`; "" for titles that tell nobody to do something."""
    rest = HOW_TO.sub("", title, count=1) if HOW_TO.match(title) else title
    is_told = rest != title
    words = rest.rstrip("?:.! ").split()
    if len(words) < 2 or not WORD.fullmatch(words[0]) or " ".join(words[1:]).lower() in PRONOUNS:
        return ""
    if all(word.isupper() for word in words if word.isalpha()):
        words = [word.lower() for word in words] if words[1].lower() in DETERMINERS else words
    if len(words[0]) > 1 and words[0].isupper():
        return ""  # CREATE TABLE is a statement's name
    lowered = [word.lower() for word in words]
    if not (is_told and lowered[0] not in NO_ACTIONS) and not _is_order(lowered):
        return ""
    rest_of_it = zip(words[1:], lowered[1:], strict=True)
    return " ".join([lowered[0], *(low if low in SMALL else word for word, low in rest_of_it)])


def as_asked(order: str) -> str:
    """The order as one asks for oneself: of `change your password`, `change my password`."""
    mine = {"your": "my", "yourself": "myself", "yours": "mine"}
    return " ".join(mine.get(word, word) for word in order.split())


def lacks_object(order: str) -> bool:
    """Whether an order says not what it is about, such as `log in` and `back up`."""
    return all(word in PARTICLES for word in order.split()[1:])


def _is_order(words: list[str]) -> bool:
    verb, second, last = words[0], words[1], words[-1]
    if verb not in VERBS and verb not in ALSO_NOUNS:
        return False
    if second in DETERMINERS:
        return True
    is_name = last in NAMES_OF_THINGS and not DETERMINERS.intersection(words)
    if second == "of" or (is_name and (verb in ALSO_NOUNS or len(words) == 2)):
        return False
    if second in PARTICLES:
        return verb in VERBS or len(words) > 2 or second != "back"
    if second in MOTIONS:
        return verb in VERBS or verb in MOVING
    return (second == "for" and verb in FOR) or (verb in VERBS and second not in MOTIONS and second != "for")
