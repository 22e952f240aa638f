"""The retrievers a config can name; each file enrols one."""

from ray_ft.retrievers.base import RETRIEVERS, Index, Retriever
from ray_ft.retrievers.bm25 import BM25
from ray_ft.retrievers.dense import Dense
from ray_ft.retrievers.hybrid import Hybrid

__all__ = ["BM25", "RETRIEVERS", "Dense", "Hybrid", "Index", "Retriever"]
