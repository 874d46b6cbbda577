"""Freeze or fine-tune: the 2×2 of data size and similarity, and where a competition stands in it.

Owns the advice's words and the rules of thumb behind "large" and "similar". Does not own the scores.

Source: Stanford CS231n, Transfer Learning, https://cs231n.github.io/transfer-learning/
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

# ImageNet, which most weights come from, has about 1,300 images a class.
LARGE = 1000
# The frozen backbone reaches this share of what fine-tuning reaches: its features know these images.
SIMILAR = 0.9

ADVICE = {
    (False, True): "freeze: train the head only (strategy=linear_probe); fine-tuning all may overfit",
    (False, False): "freeze the early stages, whose features are general (strategy=freeze_until or gradual)",
    (True, True): "fine-tune all weights, lower layers slower (strategy=full train.layer_decay=0.8)",
    (True, False): "fine-tune all weights; try scratch too, which has enough data here",
}


@dataclass(frozen=True)
class Standing:
    """What is known of a competition's place.

    Args:
        per_class: training images of a fold in a class, median over classes.
        metric: the score's name.
        frozen: the best linear probe's score, or None when no arm is one.
        tuned: the best score of fine-tuning pretrained weights, or None.
        higher_is_better: of the metric.
    """

    per_class: float
    metric: str
    frozen: float | None
    tuned: float | None
    higher_is_better: bool = True

    @property
    def large(self) -> bool:
        """Whether there is much data."""
        return self.per_class >= LARGE

    @property
    def similar(self) -> bool | None:
        """Whether the pretrained features fit the images; None when nothing tells."""
        if self.frozen is None or self.tuned is None or not self.higher_is_better or self.tuned <= 0:
            return None
        return self.frozen >= SIMILAR * self.tuned


def table(standing: Standing) -> pd.DataFrame:
    """The four fields, with a mark where this competition stands, or on both that it may be."""
    rows = [
        {
            "data": "large" if large else "small",
            "images": "similar to the weights' own" if similar else "different",
            "advice": words,
            "here": "←" if large == standing.large and standing.similar in (similar, None) else "",
        }
        for (large, similar), words in ADVICE.items()
    ]
    return pd.DataFrame(rows)


def lines(standing: Standing) -> list[str]:
    """The same for a terminal, with what the mark rests on."""
    told = [
        f"{row['here'] or ' '} {row['data']} data, {row['images']}: {row['advice']}"
        for row in table(standing).to_dict("records")
    ]
    return [
        "freeze or fine-tune, by data size and similarity (CS231n); ← is where this competition stands:",
        *told,
        why(standing),
    ]


def why(standing: Standing) -> str:
    """What the mark rests on."""
    size = (
        f"{standing.per_class:.0f} training images in the middle class: "
        f"{'large' if standing.large else 'small'} (from {LARGE} on large)"
    )
    if standing.similar is None:
        return f"{size}; how similar cannot be told: the grid needs linear_probe, full and a score that rises"
    assert standing.frozen is not None and standing.tuned is not None, "similar is known from both"
    share = standing.frozen / standing.tuned
    return (
        f"{size}; the frozen features reach {share:.0%} of fine-tuning's {standing.metric} at this budget: "
        f"{'similar' if standing.similar else 'different'} (from {SIMILAR:.0%} on similar). Rules of thumb: "
        "the table of arms is the measurement"
    )
