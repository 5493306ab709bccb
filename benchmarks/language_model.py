"""What the bundled language model reaches on the checks of its pretraining, as text: exact answers by task and shots.

    python benchmarks/language_model.py

Writes benchmarks/results/language-model.json: plain (400 documents a check), and the first hundred of them without and
behind 1,000 tokens of filler. The sentences are those of the ears' part, which documents for it do not hold.
`iclal pretrain language-model` measures a run's checkpoint so; the bundled weights are a mean of two.
"""

from __future__ import annotations

import json
from pathlib import Path

RESULT = Path(__file__).parent / "results" / "language-model.json"


def main() -> None:
    """Load, ask, count."""
    import torch

    from iclal.experiments.language_model import LanguageModelRecipe, measure_network
    from iclal.model.language_model import LanguageModel
    from iclal.model.saving import ASSETS

    torch.set_num_threads(1)
    network = LanguageModel.load(ASSETS / "language-model", dtype="float32").network
    reached = measure_network(network, LanguageModelRecipe().template)  # type: ignore[arg-type]
    RESULT.write_text(json.dumps(reached, indent=2) + "\n", encoding="utf-8")
    for name, shares in reached.items():
        print(f"{name:<14} {shares['mean']:.4f}")


if __name__ == "__main__":
    main()
