"""The section `folds`: how the training samples are split.

Owns its fields and rules. Does not own the splits (`data/folds.py`) nor which folds are trained
(`train.folds`).
"""

from collections.abc import Iterator
from typing import Literal

from pipeline.core.language import _
from pipeline.settings.fields import Broken, Section, Sections, fact, fact_if_chosen, rule

# The setting that each kind needs, with an example; no other kind uses it.
_FOLD_NEEDS = {"repeated": ("repeats", "3"), "holdout": ("valid_share", "0.2"), "column": ("column", "fold")}


class FoldSettings(Section):
    """How the training samples are split."""

    kind: Literal["stratified_group", "stratified", "repeated", "holdout", "bootstrap", "column"] = fact(
        "stratified_group",
        "stratified_group: by class, whole groups; stratified: by image; repeated: stratified_group `repeats`"
        " times; holdout: one split; bootstrap: groups drawn with replacement, the others validate; column",
    )
    n: int = fact(5, "folds, bootstrap draws, or values of `column`; a holdout has one", ge=2, le=50)
    repeats: int | None = fact(None, "number of divisions into n folds, for kind=repeated", ge=2, le=20)
    valid_share: float | None = fact(None, "share that validates, for kind=holdout", ge=0.05, le=0.5)
    column: str | None = fact(
        None, "for kind=column: the column with the fold in which a row validates; empty: the row only trains"
    )
    singles: Literal["train", "validate"] = fact_if_chosen(
        "train",
        "a class with a single image: train: it is in every training part and never validates; validate: it "
        "validates where the division puts it; not for bootstrap and column",
    )
    seed: int = fact(0, "seed of the assignment of groups to folds", ge=0)

    @property
    def splits(self) -> int:
        """Number of folds that are trained."""
        return {"repeated": self.n * (self.repeats or 1), "holdout": 1}.get(self.kind, self.n)


@rule("folds")
def settings_of_the_kind(s: Sections) -> Iterator[Broken]:
    """Each kind has the setting that it needs, and no setting of another kind."""
    folds = s["folds"]
    for kind, (name, example) in _FOLD_NEEDS.items():
        given = getattr(folds, name) is not None
        if folds.kind == kind and not given:
            yield (
                f"folds.{name}",
                _("kind={kind} needs it, e.g. folds.{name}={example}").format(
                    kind=kind, name=name, example=example
                ),
            )
        if folds.kind != kind and given:
            yield (
                f"folds.{name}",
                _("is used only with kind={needed}, and folds.kind={kind}").format(
                    needed=kind, kind=folds.kind
                ),
            )
