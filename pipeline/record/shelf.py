"""Finished results for a notebook: found by stage, with their inputs.

Owns finding the newest results of one competition in a home folder, their inputs, and naming the command that
makes a missing one. Builds nothing. Does not own reading files (`data/load.py`).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.language import _
from pipeline.record.files import FileIndex
from pipeline.record.store import Artifact, Store

HOME, COMPETITION = "PODIUM_HOME", "PODIUM_COMPETITION"
# Folders of a notebook: notebooks/, or where `make` is called.
HERE = (Path(), Path(".."))
# Results that the command of another stage makes.
MADE_BY = {
    **dict.fromkeys(
        ("data", "train_data", "train_images", "train_boxes", "train_prepared", "folds", "fold"), "train"
    ),
    "images": "eda",
    "views": "infer",
}


@dataclass(frozen=True)
class Shelf:
    """Finished results of one competition in the folder that contains `artifacts/`."""

    home: Path
    competition: str
    store: Store

    @staticmethod
    def open(home: str = "", competition: str = "") -> Shelf:
        """The results in a folder.

        Args:
            home: the folder; empty: the environment variable PODIUM_HOME, else this checkout.
            competition: its name; empty: PODIUM_COMPETITION, else the one with the newest result.

        Raises:
            DataError: there is no finished result; names the command that makes one.
        """
        named = home or os.environ.get(HOME, "")
        places = [Path(named)] if named else list(HERE)
        folder = next((place for place in places if (place / "artifacts").is_dir()), None)
        if folder is None:
            looked = ", ".join(str(place.resolve()) for place in places)
            raise DataError(
                _("no results yet (looked for artifacts/ in {looked})").format(looked=looked),
                remedy=_("run `make all` first, or set {home} to the folder that contains them").format(
                    home=HOME
                ),
            )
        store = Store(folder, FileIndex(folder / "artifacts" / ".index.json"))
        competition = competition or os.environ.get(COMPETITION, "")
        if not competition:
            newest = max(store.all(), key=_made, default=None)
            if newest is None:
                raise DataError(
                    _("{folder}: it has no results").format(folder=folder / "artifacts"),
                    remedy=_("run `make all` first"),
                )
            competition = str(newest.manifest.get("competition"))
        return Shelf(folder, competition, store)

    def every(self, stage: str) -> list[Artifact]:
        """All finished results of a stage, newest first."""
        mine = [
            listed
            for listed in self.store.all(stage)
            if listed.manifest.get("competition") == self.competition
        ]
        return sorted(mine, key=_made, reverse=True)

    def newest(self, stage: str, experiment: str = "") -> Artifact:
        """The newest finished result of a stage, of this experiment if one is named, with undamaged files.

        Raises:
            DataError: there is none; names the command that makes it.
        """
        for listed in self.every(stage):
            if experiment in ("", listed.manifest["experiment"]):
                artifact = self.store.find(stage, listed.key)
                if artifact is not None:
                    return artifact
        words = f"competition={self.competition}" + (f" experiment={experiment}" if experiment else "")
        target = MADE_BY.get(stage, stage).replace("_", "-")
        raise DataError(
            (
                _("no finished {stage} of {competition} ({experiment})")
                if experiment
                else _("no finished {stage} of {competition}")
            ).format(stage=stage, competition=self.competition, experiment=experiment),
            remedy=_('run `make {target} ARGS="{words}"` first').format(target=target, words=words),
        )

    def inputs(self, artifact: Artifact) -> Mapping[str, Artifact]:
        """The inputs of a result, by name.

        Raises:
            DataError: lists inputs that are missing.
        """
        artifacts, missing = {}, []
        for name, place in artifact.inputs.items():
            stage, _slash, key = place.partition("/")
            opened = self.store.find(stage, key)
            if opened is None:
                missing.append(f"{name}: {place}")
            else:
                artifacts[name] = opened
        if missing:
            target = MADE_BY.get(artifact.stage, artifact.stage).replace("_", "-")
            message = _("{stage}/{key}: {n} of its inputs are missing").format(
                stage=artifact.stage, key=artifact.key, n=len(missing)
            )
            raise DataError(message, missing, _("run `make {target}` again").format(target=target))
        return artifacts


def _made(artifact: Artifact) -> str:
    return str(artifact.manifest.get("created", ""))
