"""The score of a random split against that of a split by group, on the same images and the same head.

    python benchmarks/group_leak.py [HOME]       about a minute, most of it one pass for features

A linear probe on frozen EfficientNet-lite0 features, 5 folds. The only difference is
`competition.group_column`: the concept, or nothing.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.settings.load import load
from pipeline.stages import open_session


def score(home: str, competition: str, *words: str) -> tuple[float, float, float]:
    """(score, low, high) of the pooled out-of-fold predictions."""
    settings = load(
        [
            f"competition={competition}",
            "experiment=probe",
            f"runtime.home={home}",
            "runtime.mlflow=false",
            *words,
        ]
    )
    context = open_session(settings)
    metrics = context.need("train").metrics
    context.close()
    return metrics["oof_macro_f1"], metrics["ci_low"], metrics["ci_high"]


def main() -> None:
    home = sys.argv[1] if len(sys.argv) > 1 else "."
    rows = []
    for competition in ("emoji", "emoji-people"):
        for name, words in (("by concept", ()), ("random", ("competition.group_column=null",))):
            rows.append((competition, name, *score(home, competition, *words)))
    print(f"\n{'competition':<14} {'split':<11} macro-F1  95 % interval")
    for competition, name, value, low, high in rows:
        print(f"{competition:<14} {name:<11} {value:.3f}     [{low:.3f}, {high:.3f}]")


if __name__ == "__main__":
    main()
