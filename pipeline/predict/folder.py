"""The folder of a predictor: what is in it, its manifest, and the check that nothing of it has changed.

    predictor.json    what the submission is made of, and the digest of every other file
    weights/          one safetensors file for each model, and for each frozen backbone
    own/              the user's own functions, with the files of the same folder that they import
    boxes-N.json      boxes of the competition's test images, if the crop has them from a file
    trees-N.txt       boosted trees in LightGBM's text format, if the member gbdt is in the blend

Owns the form of the manifest and its faults. Does not own making a folder (`predict/packing.py`) nor
predicting with one (`predict/predictor.py`). It imports no pandas, MLflow or Optuna, as everything that a
folder needs where it is used.

Legend: M members, C columns of a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from pipeline.core.errors import DataError
from pipeline.core.wording import worded
from pipeline.predict import texts
from pipeline.record import files, paths
from pipeline.record.files import sha256_file
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.submission import SubmissionSettings

MANIFEST = "predictor.json"
# The form that is written, and those that are read: 1 knew neither metadata nor trees.
FORM, FORMS = 2, (1, 2)
OWN = "own"


class _Part(BaseModel):
    """Base of all parts: no conversion; further keys are kept, because later versions may add some."""

    model_config = ConfigDict(strict=True, extra="allow", frozen=True)


class FileRecord(_Part):
    """A file of the folder."""

    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    bytes: int


class Look(_Part):
    """How images become what some members see.

    Args:
        images, crop, preprocess: sections of the settings.
        encoding: of tables that hold images.
        ranges: kind of values → those that become black and white.
        shared: the window of images without a box of their own; left, top, right, bottom as shares.
        margin, aspect: of windows from boxes.
        usual: what boxes of a detector must be like; see `UsualBoxes`.
        boxes: the file of the boxes of the test images, id → edges; None: there are none.
    """

    images: dict[str, JsonValue]
    crop: dict[str, JsonValue]
    preprocess: dict[str, JsonValue]
    encoding: str | None
    ranges: dict[str, list[float]]
    shared: list[float]
    margin: float
    aspect: float
    usual: dict[str, JsonValue] | None
    boxes: str | None


class Committee(_Part):
    """The models of one fold, or of all data.

    Args:
        weights: a file for each model.
        shares: of the vote, one for each.
        mode: in which they were trained, as text; empty for heads.
    """

    weights: list[str] = Field(min_length=1)
    shares: list[float]
    mode: str


class Member(_Part):
    """One member of the blend, or one whose predictions its trees alone read.

    Args:
        name: as in the blend.
        votes: whether it votes itself.
        weight, temperature: in the blend.
        look: position in the list of looks.
        model: the section of the settings, with mean and std.
        channels: of one image.
        images: of every sample; None: their number differs.
        backbone: the file of a frozen backbone, whose features the models take; None: they take pixels.
        views, view_weights: of test-time augmentation.
        precision: `infer.precision`.
        committees: one for each fold, or one.
        start: where its weights began: none, or a source of pretrained weights, with its licence if known.
        ms_per_image: of all views, as measured where it was trained.
        score: out of fold, alone.
    """

    name: str
    weight: float
    temperature: float
    look: int
    model: dict[str, JsonValue]
    channels: int
    images: int | None
    backbone: str | None
    views: list[str] = Field(min_length=1)
    view_weights: list[float]
    precision: str
    committees: list[Committee] = Field(min_length=1)
    start: str
    ms_per_image: float
    score: float | None
    votes: bool = True


class Metadata(_Part):
    """A column of metadata beside the images.

    Args:
        name: of the column in the competition's tables.
        kind: number or category.
        values: of a category, those of the training table.
    """

    name: str
    kind: Literal["number", "category"]
    values: list[str]


class Trees(_Part):
    """The member `gbdt`: boosted trees on the predictions of other members and the metadata.

    Args:
        name: as in the blend.
        weight, temperature: in the blend.
        at: its place among the members that vote.
        members: whose predictions it reads, in the order of the columns.
        columns: what it reads: name, kind and values of each column, see `ensemble/trees.py`.
        boosters: a file for each booster; None where nothing could be learned.
        rounds: the number of trees of each.
        score: out of fold, alone.
    """

    name: str
    weight: float
    temperature: float
    at: int = Field(ge=0)
    members: list[str] = Field(min_length=1)
    columns: list[tuple[str, Literal["prediction", "number", "category"], list[str]]] = Field(min_length=1)
    boosters: list[str | None]
    rounds: list[int]
    score: float | None


class Voter(NamedTuple):
    """A member that votes."""

    name: str
    weight: float
    temperature: float


class Blend(_Part):
    """How members vote; `rule` is None for a member alone, `stack` a file of coefficients."""

    rule: str | None
    stack: str | None


class Step(_Part):
    """A decision step that was kept; `fitted` as decision.json holds it."""

    name: str
    fitted: dict[str, JsonValue]
    groups: Literal["table", "clusters"]


class Source(_Part):
    """Which files and columns make a sample, as in the competition.

    Args:
        id_column, path_column, group_column: of its test table; the last may be empty.
        channel_files, images_per_sample: as the settings of the competition.
    """

    id_column: str
    path_column: str
    group_column: str
    channel_files: list[str]
    images_per_sample: dict[str, JsonValue] | None

    @property
    def settings(self) -> CompetitionSettings:
        """The same as settings of a competition, for reading a table."""
        given = {
            "id_column": self.id_column,
            "path_column": self.path_column,
            "channel_files": self.channel_files,
            "images_per_sample": self.images_per_sample,
        }
        return CompetitionSettings.model_validate_json(files.json_bytes(given))


class Manifest(_Part):
    """What a submission is made of.

    Args:
        form: of this file.
        name: of the submission; `artifact` its result.
        space: the label space, as text.
        submission: the host's format.
        source: which files and columns make a sample.
        batch: images that pass a network together.
        metadata: columns that members read beside the images, in their order.
        trees: the member gbdt; None: there is none.
        encoding: of the host's sample submission; None: it is found.
        needs: the oldest versions that it works with.
        made: git, versions and profile of what made the folder.
        scores: metric, out-of-fold score and interval.
        files: every other file.
    """

    form: int
    name: str
    competition: str
    title: str
    artifact: str
    csv_sha256: str
    space: str
    submission: dict[str, JsonValue]
    source: Source
    batch: int = Field(ge=1)
    made: dict[str, JsonValue]
    scores: dict[str, JsonValue]
    looks: list[Look]
    members: list[Member] = Field(min_length=1)
    blend: Blend
    steps: list[Step]
    files: dict[str, FileRecord]
    metadata: list[Metadata] = []
    trees: Trees | None = None
    encoding: str | None = None
    needs: dict[str, str] = {}

    @property
    def voters(self) -> tuple[Voter, ...]:
        """The members that vote, in the order of the blend."""
        found = [Voter(m.name, m.weight, m.temperature) for m in self.members if m.votes]
        if self.trees is not None:
            trees = self.trees
            found.insert(trees.at, Voter(trees.name, trees.weight, trees.temperature))
        return tuple(found)

    def weight_of(self, member: str) -> float:
        """The vote of a member, with its share in that of the trees which read it."""
        own = sum(m.weight for m in self.members if m.name == member and m.votes)
        trees = self.trees
        return own + (trees.weight / len(trees.members) if trees and member in trees.members else 0.0)

    @property
    def host_form(self) -> SubmissionSettings:
        """The host's format."""
        return SubmissionSettings.model_validate_json(files.json_bytes(self.submission))

    @property
    def models(self) -> int:
        """The number of trained models."""
        return sum(len(c.weights) for m in self.members for c in m.committees)

    @property
    def megabytes(self) -> float:
        """Size of all files, MB."""
        return sum(file.bytes for file in self.files.values()) / 1e6


def write(folder: Path, parts: Mapping[str, Any]) -> Manifest:
    """Write the manifest of a folder whose other files are complete; `parts` are all fields but `files`."""
    found = {
        path.relative_to(folder).as_posix(): {"sha256": sha256_file(path), "bytes": path.stat().st_size}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    text = files.json_bytes({**parts, "files": found})
    made = Manifest.model_validate_json(text)
    files.write_atomic(folder / MANIFEST, text)
    return made


def read(folder: Path, whole: bool = True) -> Manifest:
    """The manifest of a folder; `whole`: after comparing the digest of every file.

    Raises:
        DataError: it is no such folder, of another form, damaged, or files have changed; all are named.
    """
    path = folder / MANIFEST
    if not path.is_file():
        headline = texts.NO_FOLDER.format(folder=folder, manifest=MANIFEST)
        raise DataError(headline, remedy=texts.NO_FOLDER_REMEDY)
    manifest = _parsed(path)
    faults = _file_faults(folder, manifest, whole)
    if faults:
        headline = worded(texts.CHANGED_FILES, folder=folder, files=len(faults))
        raise DataError(headline, faults, texts.CHANGED_REMEDY)
    return manifest


def _parsed(path: Path) -> Manifest:
    try:
        record = files.read_json(path)
        if isinstance(record, dict) and record.get("form", FORM) not in FORMS:
            made = record.get("made")
            podium = made.get("git", "?") if isinstance(made, dict) else "?"
            known = " and ".join(map(str, FORMS))
            headline = texts.OTHER_FORM.format(path=path, form=record["form"], known=known)
            raise DataError(headline, remedy=texts.OTHER_FORM_REMEDY.format(podium=podium))
        manifest = Manifest.model_validate_json(path.read_bytes())
        faults = _inner_faults(manifest)
    except ValidationError as error:
        faults = [
            texts.MANIFEST_FAULT.format(place=".".join(map(str, one["loc"])) or "it", why=one["msg"])
            for one in error.errors(include_url=False)
        ]
    except (OSError, ValueError) as error:
        faults = [str(error)]
    if faults:
        headline = worded(texts.MANIFEST_FAULTS, path=path, faults=len(faults))
        raise DataError(headline, faults, texts.MANIFEST_REMEDY)
    return manifest


def _inner_faults(manifest: Manifest) -> list[str]:
    """Parts that do not fit each other, and names of files that lead elsewhere."""
    faults = []
    for name in manifest.files:
        if fault := paths.fault_of_path(name):
            faults.append(texts.MANIFEST_FAULT.format(place=f"files.{name}", why=fault))
    named = [weights for m in manifest.members for c in m.committees for weights in c.weights]
    named += [m.backbone for m in manifest.members if m.backbone]
    named += [file for file in (manifest.trees.boosters if manifest.trees else []) if file]
    named += [file for file in (manifest.blend.stack, *(look.boxes for look in manifest.looks)) if file]
    for name in dict.fromkeys(named):
        if name not in manifest.files:
            faults.append(texts.MANIFEST_FAULT.format(place=name, why="it is not among the files"))
    for member in manifest.members:
        lengths = {len(member.views) == len(member.view_weights), member.look in range(len(manifest.looks))}
        lengths |= {len(c.weights) == len(c.shares) for c in member.committees}
        if lengths != {True}:
            faults.append(texts.MANIFEST_FAULT.format(place=member.name, why="its parts do not fit"))
    if manifest.trees is not None and not _fit(manifest, manifest.trees):
        faults.append(texts.MANIFEST_FAULT.format(place=manifest.trees.name, why="its parts do not fit"))
    return faults


def _fit(manifest: Manifest, trees: Trees) -> bool:
    known, metadata = {member.name for member in manifest.members}, {one.name for one in manifest.metadata}
    read = {name for name, kind, _ in trees.columns if kind != "prediction"}
    return len(trees.boosters) == len(trees.rounds) and set(trees.members) <= known and read <= metadata


def _file_faults(folder: Path, manifest: Manifest, whole: bool) -> list[str]:
    faults = []
    for name, known in manifest.files.items():
        path = folder / name
        if not path.is_file():
            faults.append(texts.CHANGED_MISSING.format(name=name))
        elif whole and (found := sha256_file(path)) != known.sha256:
            faults.append(texts.CHANGED_DIGEST.format(name=name, found=found[:12], known=known.sha256[:12]))
    return faults
