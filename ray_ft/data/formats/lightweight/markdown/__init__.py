"""Markdown: its blocks, and what else stands in files of it."""
