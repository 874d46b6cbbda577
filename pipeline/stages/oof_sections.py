"""Sections of the error report that rest on out-of-fold predictions, from a case's artifacts.

Owns reading what each section needs. Does not own what a section says or shows (`pipeline/analyze/`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pipeline.analyze import truth
from pipeline.analyze.section import Section, without

if TYPE_CHECKING:
    from pipeline.stages.case import Case

WHY_NOT = "Needs out-of-fold predictions of the new submission, which an outside CSV does not bring:"
MAKE = "make error-analysis"


def on_truth(case: Case) -> Section:
    """Fixed, broken, both wrong."""
    mistakes = case.analysis.mistakes
    if case.new.oof is None or mistakes is None:
        return without(truth.ANCHOR, truth.SHORT, truth.TITLE, WHY_NOT, MAKE)
    config = case.job.settings.config
    inputs = truth.TruthInputs(
        case.new.oof, case.old.oof, case.train, mistakes, config.statistics.seed, config.report.max_flips
    )
    return truth.section(inputs)
