"""Which finished folds teach a fold: the same fold of the same plan, of an experiment without teachers.

Owns the inputs of a fold that come from teachers. Does not own what becomes of what they predict
(`train/teachers.py`). It imports no torch, as the inputs are named before anything is built.
"""

from __future__ import annotations

from pipeline.core.errors import ConfigError
from pipeline.engine.need import Inputs, Need, Params
from pipeline.engine.stage import Ask
from pipeline.settings.load import Settings

TEACHER = "teacher:"
UNLABELLED = "unlabelled"
OWN_PART = "own"


def teacher(ask: Ask, settings: Settings, name: str) -> Settings:
    """The settings of an experiment that teaches: it has no teachers itself.

    Raises:
        ConfigError: it has other data or folds than its student.
    """

    def find() -> Settings:
        found = settings if name == settings.experiment else settings.member(name)
        found = found.with_values({"train.pseudo": None, "train.distill": None})
        other = [s for s in ("data", "folds") if ask.key(Need(s, found)) != ask.key(Need(s, settings))]
        if other:
            raise ConfigError(
                f"teacher {name} has other {' and '.join(other)} than its student {settings.experiment}",
                remedy="a fold's teacher must be the same fold of the same fold plan",
            )
        return found

    return ask.once(f"teacher {name}", settings, find)


def inputs(ask: Ask, settings: Settings, params: Params) -> Inputs:
    """What models of the same fold of the same plan predict for images without labels, or for its own part."""
    pseudo, distill = settings.config.train.pseudo, settings.config.train.distill
    if distill is not None:
        by = {name: teacher(ask, settings, name) for name in distill.teachers or [settings.experiment]}
        stage, how = ("nested", {"inner": distill.inner}) if distill.inner else ("teach", {"split": OWN_PART})
        return {f"{TEACHER}{n}:{OWN_PART}": Need(stage, s, {**params, **how}) for n, s in by.items()}
    if pseudo is None:
        return {}
    splits = [UNLABELLED] if any(not e.labelled for e in settings.config.competition.extra) else []
    splits += ["test"] if pseudo.test_images else []
    found = {}
    for name in pseudo.teachers or [settings.experiment]:
        teaches = teacher(ask, settings, name)
        for split in splits:
            found[f"{TEACHER}{name}:{split}"] = Need("teach", teaches, {**params, "split": split})
    return found
