"""The model card of an exported submission, in Markdown: what it is, how good it is, where it is weak.

Owns the text. Does not own the figures: they are in the manifest of the predictor and in the error report.
After Mitchell et al., Model Cards for Model Reporting (FAT* 2019), https://arxiv.org/abs/1810.03993.
"""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.predict import folder, texts
from pipeline.record.files import space_of_text


def card(manifest: folder.Manifest, weaknesses: Sequence[str], exported: Sequence[str]) -> str:
    """The card.

    Args:
        manifest: of the predictor.
        weaknesses: lines of the error report; empty: there is none.
        exported: lines about the file itself, such as how far it is from the predictor.
    """
    space = space_of_text(manifest.space)
    rows = [
        texts.CARD_MEMBER.format(
            name=m.name,
            model=m.model["name"],
            start=m.start,
            models=sum(len(c.weights) for c in m.committees),
            views=", ".join(m.views),
            weight=m.weight,
            score="–" if m.score is None else f"{m.score:.4f}",
        )
        for m in manifest.members
    ]
    if manifest.trees is not None:
        rows.append(_trees(manifest.trees))
    return texts.CARD.format(
        name=manifest.name,
        competition=manifest.competition,
        kind=space.kind,
        columns=", ".join(space.classes),
        score=_score(manifest),
        members="\n".join(rows),
        steps="\n".join(f"- {step.name}" for step in manifest.steps) or texts.CARD_NO_STEPS,
        weaknesses="\n".join(f"- {line}" for line in weaknesses) or texts.CARD_NO_REPORT,
        exported="\n".join(f"- {line}" for line in exported),
        git=manifest.made.get("git"),
        created=manifest.made.get("created"),
    )


def _trees(trees: folder.Trees) -> str:
    return texts.CARD_MEMBER.format(
        name=trees.name,
        model="LightGBM",
        start="none",
        models=sum(name is not None for name in trees.boosters),
        views=", ".join(trees.members),
        weight=trees.weight,
        score="–" if trees.score is None else f"{trees.score:.4f}",
    )


def _score(manifest: folder.Manifest) -> str:
    found = dict(manifest.scores)
    metric = found.pop("metric", "")
    value = next((v for k, v in found.items() if k.startswith(("oof_", "twin_"))), None)
    if value is None:
        return texts.CARD_NO_SCORE
    text = texts.CARD_SCORE.format(metric=metric, value=float(str(value)))
    if "ci_low" in found:
        low, high = (float(str(found[name])) for name in ("ci_low", "ci_high"))
        text += texts.CARD_INTERVAL.format(low=low, high=high)
    return text
