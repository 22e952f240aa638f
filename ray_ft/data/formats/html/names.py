"""What the names of a page's elements say: what an element is for stands in its class, its id and its role."""

import itertools
import re
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from selectolax.lexbor import LexborNode

Says = Literal["", "unread", "consent", "strong", "weak", "content"]
PARTS = re.compile(r"[a-z]+|[A-Z][a-z]*+")


def _set(words: str) -> frozenset[str]:
    return frozenset(words.split())


UNREAD = _set(
    """
    sphinxsidebar sphinxsidebarwrapper breadcrumb breadcrumbs toctree-wrapper navbox printfooter linenos
    preheader ttc method-source-code fullTree jp-InputPrompt jp-OutputPrompt input_prompt output_prompt
    tsd-index-panel search-results s4-notdlg ms-dialogHidden index-cp cp-entries-printindex printindex
    hljs-ln-numbers role-navigation role-search role-menu role-menubar role-dialog role-alertdialog
    """
)
"""Of what is never read; roles are names as well, with `role-` before them."""
STRONG = _set(
    """
    gtoc minitoc localtoc globaltoc pagetoc tableofcontents navbar navheader navfooter navigation nav breadcrumb
    breadcrumbs footer pagefooter sitefooter pagination pager toc tocmacro topnav bottomnav subnav sidenav
    contentinfo copyright colophon titlearea projectname navpath skiplink catlinks sitemap masthead
    """
)
"""Of what hardly ever holds content."""
WEAK = _set(
    """
    sidebar menu menubar toolbar share sharing social byline related promo ad ads advert advertisement sponsor
    newsletter subscribe signup noprint widget search searchbox login languages switcher actions feedback rating
    teaser topbar banner logo brand skip attachments greybox complementary popup modal overlay toast
    """
)
"""Of what may hold content as well."""
CONTENT = _set(
    """
    admonition note tip warning caution danger important hint attention callout alert seealso example footnote
    footnotes topic deprecated versionadded versionchanged macro pullquote doc-footnote doc-tip
    """
)
"""Of what stands beside the text and is content."""
CONSENT = _set(
    """
    cookie cookies cookiebar cookiebanner consent gdpr ccpa onetrust
    """
)
ASKING = _set(
    """
    banner bar notice consent popup modal dialog overlay law message sdk
    """
)
"""Of what asks whether cookies may be set, together with one of `CONSENT`."""
ALONE = _set("gdpr ccpa onetrust cookiebar cookiebanner")


@lru_cache(maxsize=4096)
def named(classes: str, name: str, is_section: bool) -> Says:
    """What class and id say, "" where nothing is known.

    The id of a section comes from its title, so it says nothing: a section on navigation is none.
    """
    words: set[str] = set(classes.split())
    for one in (*classes.split(), "" if is_section else name):
        parts = [part.lower() for part in PARTS.findall(one)]
        words.update(parts, ["".join(parts)], ("".join(pair) for pair in itertools.pairwise(parts)))
    if words & UNREAD:
        return "unread"
    if words & CONTENT:
        return "content"
    if words & ALONE or (words & CONSENT and words & ASKING):
        return "consent"
    return "strong" if words & STRONG else "weak" if words & WEAK else ""


def verdict(node: "LexborNode") -> Says:
    """What a node's names say of it."""
    attributes = node.attributes
    if not attributes:
        return ""
    classes, name = attributes.get("class") or "", attributes.get("id") or ""
    if role := attributes.get("role"):
        classes = f"{classes} {role} role-{role}"
    if not classes and not name:
        return ""
    return named(classes, name, node.tag == "section" or "section" in classes.split())
