"""Who is cited: every label that a remark may name, with its title; figures of this project by their page."""

SOURCES: dict[str, str] = {
    "2404.10779": "Raj J et al. 2024, Fine Tuning LLM for Enterprise (arXiv 2404.10779)",
    "2107.06499": "Lee et al. 2021, Deduplicating Training Data Makes Language Models Better (arXiv 2107.06499)",
    "2305.11206": "Zhou et al. 2023, LIMA: Less Is More for Alignment (arXiv 2305.11206)",
    "2305.15425": "Petrov et al. 2023, Tokenizers Introduce Unfairness Between Languages (arXiv 2305.15425)",
    "2312.03732": "Kalajdzievski 2023, rsLoRA (arXiv 2312.03732)",
    "2312.05934": "Ovadia et al. 2023, Fine-Tuning or Retrieval? (arXiv 2312.05934)",
    "2401.08406": "Balaguer et al. 2024, RAG vs Fine-tuning (arXiv 2401.08406)",
    "2403.01244": "Huang et al. 2024, Self-Synthesized Rehearsal against Catastrophic Forgetting (arXiv 2403.01244)",
    "2403.08763": "Ibrahim et al. 2024, Simple and Scalable Strategies to Continually Pre-train (arXiv 2403.08763)",
    "2403.10131": "Zhang et al. 2024, RAFT (arXiv 2403.10131)",
    "2405.05904": "Gekhman et al. 2024, Does Fine-Tuning on New Knowledge Encourage Hallucinations? (arXiv 2405.05904)",
    "2405.09673": "Biderman et al. 2024, LoRA Learns Less and Forgets Less (arXiv 2405.09673)",
    "2407.02742": "Bassamzadeh and Methani 2024, DSL Code Generation (arXiv 2407.02742)",
    "2409.07431": "Yang et al. 2024, Synthetic Continued Pretraining (arXiv 2409.07431)",
    "2505.15179": "RAG or Fine-tuning? Code Completion in Industry, 2025 (arXiv 2505.15179)",
    "no-regret": "Schulman and Thinking Machines Lab 2025, LoRA Without Regret (thinkingmachines.ai/blog/lora)",
    "wordings": "this project: 40 facts, SmolLM2-135M-Instruct, LoRA r 16, 5 epochs; facts in new wordings, one run",
    "training-h200.md": "this project: docs/benchmarks/training-h200.md, 7B on one H200",
    "estimator-h200.md": "this project: docs/benchmarks/estimator-h200.md, planned beside measured memory and time",
    "verdicts.md": "this project: docs/benchmarks/verdicts.md, simulated exams with a known truth",
    "recipes.md": "this project: docs/concepts/recipes.md, what each recipe takes and cuts",
    "chat.md": "this project: docs/guides/chat.md, conversations that are written already",
}
"""Label -> title. A citation is a label and, behind a space, the table, figure or section."""


def label_of(citation: str) -> str:
    """The label that a citation begins with."""
    return citation.partition(" ")[0]
