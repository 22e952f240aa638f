"""Lightweight markup whose text is rewritten as light Markdown: AsciiDoc, Org, LaTeX, MediaWiki, and MDX."""
