"""Every stage of the pipeline, in the order of a competition. The only place that knows all rooms.

    python -c "from pipeline.stages import CATALOGUE; print(*CATALOGUE.stages)"

Owns the list, and which stages stand behind a command whose words pages print. Does not own what a stage
declares: that is in the `stages.py` of its room.
"""

from __future__ import annotations

from pathlib import Path

from pipeline.data import stages as data
from pipeline.eda import stages as eda
from pipeline.engine.executors.chosen import executor_of
from pipeline.engine.session import Session
from pipeline.engine.stage import Catalogue
from pipeline.ensemble import stages as ensemble
from pipeline.errors import stages as errors
from pipeline.explain import stages as explain
from pipeline.infer import stages as infer
from pipeline.nets import stages as nets
from pipeline.resample import stages as resample
from pipeline.settings.load import Settings
from pipeline.submit import stages as submit
from pipeline.train import stages as train
from pipeline.train.studies import stages as studies

ROOMS = (data, nets, eda, resample, train, studies, infer, ensemble, submit, errors, explain)
DATA = ("train_data", "data", "train_images", "images")
# The stages whose settings the words of a command may set; a test holds them to the chains.
TRAINING = (*DATA, "train_boxes", "train_prepared", "folds", "features", "heads", "fold", "train")
COMMANDS = {
    "train": TRAINING,
    "infer": (*TRAINING, "boxes", "prepared", "views", "infer"),
    "refit": (*TRAINING, "boxes", "prepared", "views", "infer", "whole", "refit"),
    "preview": (*DATA, "train_boxes", "boxes", "preview"),
    "eda": (*DATA, "folds", "eda"),
    "error-analysis": (*DATA, "folds", "error_analysis"),
}
CATALOGUE = Catalogue.of((stage for room in ROOMS for stage in room.STAGES), COMMANDS)


def catalogue() -> Catalogue:
    """The catalogue, for a process that builds a result for another one."""
    return CATALOGUE


def open_session(settings: Settings, rehash: bool = False, artifacts: Path | None = None) -> Session:
    """A session with every stage, and the executor that its settings choose; arguments as for `Session`."""
    return Session(settings, CATALOGUE, rehash, artifacts, executor_of(settings.config.runtime, catalogue))
