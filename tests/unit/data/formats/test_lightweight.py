"""AsciiDoc, Org, MediaWiki, LaTeX and MDX: what a reader of the rendered page sees, and nothing else."""

import pytest

from ray_ft.data.formats import format_of
from ray_ft.data.formats.base import Parsed

ASCIIDOC = """\
= User Guide: {product}
Jane Doe <jane@example.org>
v1.0, 2024-01-01
:toc:
:product: Ferry
:url: https://ferry.example/docs

This is the *preamble* of {product}, see {url}[the docs] and <<install,Installation>>.

[[install]]
== Install it

// a comment
[source,bash]
----
$ apt install ferry # <1>
# == no heading
----
<1> installs it

NOTE: Only _root_ may do that.

[WARNING]
====
Do not use `rm -rf`.

* one
** two with
   wrapped text
* three
+
attached paragraph
+
----
code
----
* four
====

.Ports
[cols="1,2",options="header"]
|===
|Name |Value

|http
|80 is H~2~O and 10^3^

|https |443
|===

Term A:: its meaning
Term B::
  another meaning
  that goes on

include::other.adoc[]

////
hidden
////

=== Sub ===

Press kbd:[Ctrl+C] or menu:File[Save].

Old style
---------

. first
. second

++++
<div>raw</div>
++++

A last line footnote:[with a note].
"""

ORG = """\
#+TITLE: Ops manual
#+AUTHOR: nobody
* TODO [#A] Start the /service/ [1/2]      :ops:web:
SCHEDULED: <2024-01-01 Mon>
:PROPERTIES:
:ID: 1
:END:
Use =systemctl start ferry= and see [[https://x.example][the docs]].
A second line[fn:1] on <2024-02-01 Thu>.

#+BEGIN_SRC bash :results output
systemctl start ferry
,* not a heading
#+END_SRC

#+RESULTS:
: active (running)

| Port | Use  |
|------+------|
| 80   | http |

- one
  wrapped
  - two
- term :: meaning
- [X] done

** COMMENT hidden
text
*** deeper hidden
** Shown
# comment
#+BEGIN_QUOTE
Quoted *bold* text.
#+END_QUOTE
#+BEGIN_EXPORT html
<b>raw</b>
#+END_EXPORT
"""

MEDIAWIKI = """\
{{Infobox|name=x|value={{nested|1}}}}
'''Ferry''' is a [[ship|vessel]] of [[Company]].<ref>Some ref</ref> Weight 10<sup>3</sup> t.
[[File:a.png|thumb|A picture]]
== History ==
It began in {{nowrap|1900}}.<!-- hidden -->

* one
** two [https://x.example link]
# num

=== Fleet ===
{| class="wikitable"
! Ship !! Year
|-
| ''A'' || 1990
|-
| B
| 1991
|}
<syntaxhighlight lang="python">
def f():
    return {{1}}
</syntaxhighlight>
[[Category:Ships]]
__NOTOC__
"""

LATEX = r"""
\documentclass{article}
\title{The \emph{Ferry} Manual}
\author{A. Person}
\newcommand{\x}{y}
\begin{document}
\maketitle
% a comment
\section{Starting}\label{sec:s}
To start, see \ref{sec:s}~\cite{abc}. Costs 5\,\$ and 10\% of $x^2$, M\"uller's caf\'e ``quoted''~here.
Wrapped line\footnote{A note.} with \textbf{bold} and \texttt{code\_x}, \verb|a_b|.

Second paragraph \href{https://x.example}{the site} --- end \ldots{} more.
\begin{itemize}
\item one
  \begin{enumerate}\item inner \end{enumerate}
\item[Label] two
\end{itemize}
\subsection*{Table}
\begin{table}[h]\centering
\caption{Ports}
\begin{tabular}{lr}
\hline
Name & Port \\ \hline
http & 80 \\
\end{tabular}
\end{table}
\begin{lstlisting}[language=Python]
def f(x):
    return x % 2  # $y
\end{lstlisting}
\begin{theorem} All is fine. \end{theorem}
\end{document}
"""

MDX = """\
---
title: Tabs
---
import Tabs from '@theme/Tabs';
import {
  A,
} from './a';

# Install {frontMatter.version}

<Tabs groupId="os" values={[{label: 'A', value: 'a'}]}>
<TabItem value="linux" label="Linux">

Run `npm i {x}` as root.

```jsx
import X from 'y';
<Foo a={1} />
```

</TabItem>
</Tabs>

{/* a comment
over lines */}

export const x = () => {
  return 1;
};

The end.
"""


def parse(name: str, text: str) -> Parsed:
    kind = format_of(name)
    assert kind is not None
    assert not kind.is_binary
    parsed = kind.parse(text)
    assert all(parsed.text[b.start : b.end] == b.text for b in parsed.blocks)
    return parsed


def shown(parsed: Parsed) -> list[str]:
    return [f"{'#' * b.level} {b.text}" if b.type == "heading" else b.text for b in parsed.blocks]


def test_asciidoc() -> None:
    parsed = parse("guide.adoc", ASCIIDOC)
    assert shown(parsed) == [
        "# User Guide: Ferry",
        "This is the preamble of Ferry, see the docs and Installation.",
        "## Install it",
        "```bash\n$ apt install ferry\n# == no heading\n```",
        "- installs it",
        "NOTE: Only root may do that.",
        "WARNING: Do not use `rm -rf`.",
        "- one\n  - two with wrapped text\n- three\n  attached paragraph",
        "```\ncode\n```",
        "- four",
        "Ports",
        "Name | Value\nhttp | 80 is H2O and 10^3\nhttps | 443",
        "- Term A: its meaning\n- Term B: another meaning that goes on",
        "### Sub",
        "Press Ctrl+C or File > Save.",
        "## Old style",
        "- first\n- second",
        "A last line (with a note).",
    ]
    assert parsed.metadata == {"title": "User Guide: Ferry"}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("== A = B\n", ["## A = B"]),
        ("----\nnever closed\n", ["```\nnever closed\n```"]),
        ("a * b * c and a_b_c\n", ["a * b * c and a_b_c"]),
        ("`+{x}+` and `a*b*c`\n", ["`{x}` and `a*b*c`"]),
        ("[NOTE]\nOne line.\n", ["NOTE: One line."]),
        ("[source]\nx = 1\n\ny\n", ["```\nx = 1\n```", "y"]),
        ("ifdef::a[]\nwords\nendif::[]\n", ["words"]),
        ("See xref:a/b.adoc#c[That page].\n", ["See That page."]),
        (",===\na,b\nc,d\n,===\n", ["a | b\nc | d"]),
        ("A paragraph\n* and a star\n", ["A paragraph * and a star"]),
        ("    indented\n      code\n", ["```\nindented\n  code\n```"]),
    ],
)
def test_asciidoc_in_small(text: str, expected: list[str]) -> None:
    assert shown(parse("a.asciidoc", text)) == expected


def test_org() -> None:
    parsed = parse("ops.org", ORG)
    assert shown(parsed) == [
        "# Ops manual",
        "## Start the service",
        "Use `systemctl start ferry` and see the docs. A second line on 2024-02-01.",
        "```bash\nsystemctl start ferry\n* not a heading\n```",
        "```\nactive (running)\n```",
        "Port | Use\n80 | http",
        "- one wrapped\n  - two\n- term: meaning\n- done",
        "### Shown",
        "Quoted bold text.",
    ]


def test_mediawiki() -> None:
    assert shown(parse("Ferry.mediawiki", MEDIAWIKI)) == [
        "Ferry is a vessel of Company. Weight 10^3 t.",
        "# History",
        "It began in 1900.",
        "- one\n  - two link\n- num",
        "## Fleet",
        "Ship | Year\nA | 1990\nB | 1991",
        "```python\ndef f():\n    return {{1}}\n```",
    ]


def test_latex() -> None:
    assert shown(parse("manual.tex", LATEX)) == [
        "# The Ferry Manual",
        "## Starting",
        "To start, see Starting. Costs 5$ and 10% of $x^2$, Müller's café “quoted” here. "
        "Wrapped line (A note.) with bold and `code_x`, `a_b`.",
        "Second paragraph the site — end … more.",
        "- one\n  - inner\n- Label: two",
        "### Table",
        "Ports",
        "Name | Port\nhttp | 80",
        "```\ndef f(x):\n    return x % 2  # $y\n```",
        "All is fine.",
    ]


@pytest.mark.parametrize(
    "text", ["\\section{unclosed", "}} \\end{x} {", "\\begin{itemize} \\item a", "$ x", "\\verb|", "\\"]
)
def test_broken_latex_loses_no_words_that_can_be_read(text: str) -> None:
    kind = format_of("a.tex")
    assert kind is not None
    assert isinstance(kind.parse("Words before.\n\n" + text), Parsed)
    assert "Words before." in kind.parse("Words before.\n\n" + text).text


def test_mdx() -> None:
    parsed = parse("tabs.mdx", MDX)
    assert shown(parsed) == [
        "# Install",
        "Linux",
        "Run `npm i {x}` as root.",
        "```jsx\nimport X from 'y';\n<Foo a={1} />\n```",
        "The end.",
    ]
    assert parsed.text.count("\n") == MDX.count("\n")
    assert [b.line_start for b in parsed.blocks][:2] == [9, 12]
