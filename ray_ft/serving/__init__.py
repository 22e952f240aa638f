"""Serving: a base and its adapters behind an OpenAI-style HTTP endpoint on Ray Serve."""
