"""The retrievers a config can name; each file enrols one."""

from ray_ft.retrievers.base import RETRIEVERS, Index, Retriever
from ray_ft.retrievers.bm25 import BM25

__all__ = ["BM25", "RETRIEVERS", "Index", "Retriever"]
