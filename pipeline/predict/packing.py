"""Making the folder of a predictor from a submission's provenance and its results.

Owns finding the models, views, weights and looks of every member, copying what belongs to the user, and the
check that the packed blend and steps give exactly what was submitted. Does not own the form of the folder
(`predict/folder.py`).

Legend: M members, N images.
"""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from pipeline.core import metadata, metrics, plugin
from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities, align
from pipeline.core.voting import fitting
from pipeline.core.voting.soft_voting import RULES
from pipeline.core.wording import worded
from pipeline.data import crop, load
from pipeline.ensemble import trees
from pipeline.ensemble.members import MEMBER, REFIT
from pipeline.ensemble.stages import BLEND
from pipeline.nets import model as networks
from pipeline.nets.forward import backbone_digest
from pipeline.nets.intake import Intake
from pipeline.nets.views import parse_all
from pipeline.nets.weights import PACKAGES, State
from pipeline.predict import blending, folder, oldest, steps, texts
from pipeline.predict.members import UNUSED_OUTPUTS
from pipeline.record import files
from pipeline.record.store import Artifact, Store
from pipeline.settings.ensemble import GBDT
from pipeline.settings.fields import Section
from pipeline.settings.images import CropSettings, ImageSettings, PreprocessSettings
from pipeline.settings.inputs import SeveralImagesSettings
from pipeline.settings.model import ModelSettings
from pipeline.submit.submission import DECISION, Provenance
from pipeline.train.committee import Committee

S = TypeVar("S", bound=Section)
BOXED = ("statistics", "own_box")
WEIGHTS = "weights"


@dataclass(frozen=True)
class Source:
    """A member to pack.

    Args:
        name: in the blend; of a member alone, its experiment.
        artifact: the inference, or the refit that predicts the test set in its place.
        scored: the inference with the out-of-fold predictions; None: it is gone.
        weight, temperature: in the blend.
        votes: whether it votes itself; else trees alone read its predictions.
    """

    name: str
    artifact: Artifact
    scored: Artifact | None
    weight: float = 1.0
    temperature: float = 1.0
    votes: bool = True

    @property
    def of_trees(self) -> bool:
        """Whether it is the member `gbdt`."""
        return self.artifact.stage == GBDT


@dataclass(frozen=True)
class Packing:
    """What is packed, and where it comes from.

    Args:
        store: of the results.
        record: the provenance of the submission.
        root: the result that was submitted.
        own: the folder of the user's own functions.
        draft: the folder that is made.
    """

    store: Store
    record: Provenance
    root: Artifact
    own: Path
    draft: Path

    def at(self, address: str) -> Artifact:
        """A result behind the submission.

        Raises:
            DataError: it is gone.
        """
        found = self.store.at(address)
        if found is None:
            raise gone(self.record, [address])
        return found

    def input_of(self, address: str, name: str) -> str:
        """The address of an input of a result; known from the record where the result was freed."""
        artifact = self.store.at(address)
        inputs = artifact.inputs if artifact else self.record["chain"].get(address, {}).get("inputs", {})
        return str(inputs.get(name, ""))


def gone(record: Provenance, addresses: Sequence[str]) -> DataError:
    """The error for results that a submission is made of and that are no longer there."""
    name = str(record["name"])
    headline = worded(texts.GONE, name=name, results=len(addresses))
    return DataError(headline, addresses, texts.GONE_REMEDY.format(file=f"submissions/{name}.csv"))


def pack(
    store: Store, record: Provenance, where: Path, batch: int, own: Path, encoding: str | None = None
) -> folder.Manifest:
    """Make the folder `where`; one that is there is replaced when the new one is complete.

    Args:
        store: of the results.
        record: the provenance of the submission.
        where: its parent exists or can be made.
        batch: images that pass a network together, as in inference.
        own: the folder of the user's own functions.
        encoding: of the host's sample submission; None: not known.

    Raises:
        DataError: results are gone, members are files from elsewhere (all are named), the weights of a
            backbone have changed, or the packed blend does not give what was submitted.
    """
    root = store.at(record["artifact"])
    if root is None:
        raise gone(record, [record["artifact"]])
    where.parent.mkdir(parents=True, exist_ok=True)
    draft = where.parent / f".{where.name}.{uuid.uuid4().hex[:8]}"
    (draft / WEIGHTS).mkdir(parents=True)
    try:
        made = _packed(Packing(store, record, root, own, draft), batch, encoding)
        if where.exists():
            shutil.rmtree(where)
        draft.replace(where)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return made


def _packed(p: Packing, batch: int, encoding: str | None) -> folder.Manifest:
    base = (
        p.at(p.root.inputs["refit" if "refit" in p.root.inputs else "of"]) if p.root.has(DECISION) else p.root
    )
    sources = _sources(p, base)
    trees, read = _trees(p, sources)
    looks: dict[str, dict[str, Any]] = {}
    networks_of = [*(source for source in sources if not source.of_trees), *read]
    members = [_member(p, number, source, looks) for number, source in enumerate(networks_of)]
    blend = _blend(p, base, sources)
    steps = _steps(p)
    data = p.at(p.root.inputs["data"])
    space = load.samples(data, "test", p.store.home).space
    parts = {
        "form": folder.FORM,
        "metadata": _metadata(p, data),
        "trees": trees,
        "encoding": encoding,
        "needs": oldest.NEEDS,
        **{name: p.record[name] for name in ("name", "competition", "artifact", "csv_sha256")},
        "title": p.record["competition"],
        "space": files.space_text(space),
        "submission": {k: v for k, v in p.record["format"].items() if k != "sample_sha256"},
        "source": _source_of(p.root),
        "batch": batch,
        "made": {n: p.root.manifest.get(n) for n in ("git", "versions", "profile", "created")},
        "scores": _scores(p.root, base),
        "looks": list(looks.values()),
        "members": members,
        "blend": blend,
        "steps": steps,
    }
    made = folder.write(p.draft, parts)
    _refuse_other_answers(p, made, base, sources, data)
    return made


def _column(artifact: Artifact, *names: str) -> str:
    found = [artifact.setting(f"competition.{name}") for name in names]
    return str(next((one for one in found if one), "id"))


def _source_of(root: Artifact) -> dict[str, Any]:
    return {
        "id_column": _column(root, "test_id_column", "id_column"),
        "path_column": _column(root, "test_path_column", "path_column"),
        "group_column": str(root.setting("competition.group_column") or ""),
        "channel_files": root.setting("competition.channel_files") or [],
        "images_per_sample": root.setting("competition.images_per_sample"),
    }


def _scores(root: Artifact, base: Artifact) -> dict[str, Any]:
    metric = str(root.setting("competition.metric") or base.setting("competition.metric") or "")
    names = (f"oof_{metric}", f"twin_{metric}", "ci_low", "ci_high")
    return {"metric": metric, **{name: root.metrics[name] for name in names if name in root.metrics}}


def _sources(p: Packing, base: Artifact) -> list[Source]:
    """The members, in the order in which they vote."""
    if base.stage != "ensemble":
        scored = p.store.at(base.inputs["twin"]) if "twin" in base.inputs else base
        name = GBDT if base.stage == GBDT else str(base.manifest["experiment"])
        return [Source(name, base, scored)]
    facts = base.json(BLEND)
    elsewhere = facts["outside"]
    if elsewhere:
        name = str(p.record["name"])
        faults = [texts.OUTSIDE_MEMBER.format(member=m, path=f.get("test", "")) for m, f in elsewhere.items()]
        headline = worded(texts.OUTSIDE_MEMBERS, name=name, members=len(faults))
        raise DataError(headline, faults, texts.OUTSIDE_REMEDY)
    addresses = {n.partition(":")[2]: a for n, a in base.inputs.items() if n.startswith(MEMBER)}
    refits = {n.partition(":")[2]: a for n, a in base.inputs.items() if n.startswith(REFIT)}
    missing = [a for a in (*addresses.values(), *refits.values()) if p.store.at(a) is None]
    if missing:
        raise gone(p.record, missing)
    return [
        Source(
            name,
            p.at(refits.get(name, addresses[name])),
            p.store.at(addresses[name]),
            float(weight),
            float(facts["temperatures"][name]),
        )
        for name, weight in facts["weights"].items()
    ]


def _trees(p: Packing, sources: Sequence[Source]) -> tuple[dict[str, Any] | None, list[Source]]:
    """The member `gbdt`, and members that vote no more but that it reads: the folds behind a refit.

    Raises:
        DataError: its trees were not kept.
    """
    at, own = next(((n, source) for n, source in enumerate(sources) if source.of_trees), (0, None))
    if own is None:
        return None, []
    if not own.artifact.has(trees.FILE):
        headline = texts.OLD_TREES.format(name=p.record["name"], member=own.name)
        raise DataError(headline, remedy=texts.OLD_TREES_REMEDY)
    packed = {source.artifact.address: source.name for source in sources}
    names, read = [], []
    inputs = {n.partition(":")[2]: a for n, a in own.artifact.inputs.items() if n.startswith(MEMBER)}
    facts = own.artifact.json(trees.FILE)
    for name in facts["members"]:
        address = inputs[name]
        if address not in packed:
            packed[address] = texts.READ_BY_TREES.format(member=name)
            read.append(Source(packed[address], p.at(address), p.at(address), 0.0, votes=False))
        names.append(packed[address])
    for file in facts["boosters"]:
        if file is not None:
            shutil.copyfile(own.artifact.folder / file, p.draft / file)
    metric = f"oof_{own.artifact.setting('competition.metric')}"
    about = {"name": own.name, "weight": own.weight, "temperature": own.temperature, "at": at}
    score = own.artifact.metrics.get(metric)
    return {**about, **facts, "members": names, "score": score}, read


def _metadata(p: Packing, data: Artifact) -> list[dict[str, Any]]:
    """The columns that members read beside the images, as prepared images have them."""
    given = data.setting("competition.metadata")
    if not given:
        return []
    cells_NM = load.samples(data, "train", p.store.home).cells_NM
    assert cells_NM is not None, "the training samples have their metadata"
    table = metadata.Table.of([(one["column"], one["kind"]) for one in given], cells_NM)
    return [{"name": c.name, "kind": c.kind, "values": list(c.values)} for c in table.columns]


def _section(artifact: Artifact, name: str, kind: type[S]) -> S:
    """A section of the settings of a result; fields that it does not depend on are at their defaults."""
    settings: Mapping[str, Any] = artifact.manifest["settings"]
    given: dict[str, Any] = dict(settings.get(name, {}))
    given |= {k.partition(".")[2]: v for k, v in settings.items() if k.startswith(f"{name}.")}
    known = {k: v for k, v in given.items() if k in kind.model_fields}
    return kind.model_validate_json(json.dumps(known))


def _member(p: Packing, number: int, source: Source, looks: dict[str, dict[str, Any]]) -> dict[str, Any]:
    infer = source.artifact
    refit = infer.stage == "refit"
    views = infer if refit else p.at(infer.inputs["views"])
    twin = p.at(infer.inputs["twin"]) if refit else infer
    names = _view_names(views)
    table: Mapping[str, Mapping[str, Any]] = twin.json("views.json")
    settings = _section(views, "model", ModelSettings)
    images = _section(views, "images", ImageSettings)
    features = views.inputs.get(f"test:{names[0]}")
    start, intake = _start(settings.weights), _intake(views, images, settings)
    backbone, settings = _backbone(p, (number, source.name), settings, (images, intake), features)
    folds = [infer.inputs["whole"]] if refit else _folds(views)
    committees = [_committee(p, f"{number}-{k}", address) for k, address in enumerate(folds)]
    if settings.mean is None and features is None:
        settings = _with_normalisation(settings, images, intake)
    _copy_own(p, settings.name if plugin.is_plugin(settings.name) else None, "model.name")
    metric = f"oof_{twin.setting('competition.metric')}"
    return {
        "name": source.name,
        "weight": source.weight,
        "temperature": source.temperature,
        "look": _look(p, views, features, images, looks),
        "model": settings.model_dump(mode="json"),
        "channels": intake.channels,
        "images": intake.images,
        "backbone": backbone,
        "views": names,
        "view_weights": [float(table[name]["weight"]) for name in names],
        "precision": str(views.setting("infer.precision") or "device"),
        "committees": committees,
        "start": start,
        "ms_per_image": float(infer.metrics.get("ms_per_image", 0.0)),
        "score": source.scored.metrics.get(metric) if source.scored else None,
        "votes": source.votes,
    }


def _view_names(views: Artifact) -> list[str]:
    """The canonical names of the views of a result, in their order."""
    asked = views.setting("infer.views")
    assert asked, f"{views.address} has no views"
    return [view.name for view in parse_all(asked)]


def _start(weights: str) -> str:
    """The source of pretrained weights without the place of a file, and with the licence of a package."""
    kind, _, name = weights.partition(":")
    if kind == "file":
        return f"file:{Path(name).name}"
    return f"{weights} ({PACKAGES[name].licence})" if name in PACKAGES else weights


def _folds(views: Artifact) -> list[str]:
    numbered = [(int(n[4:]), a) for n, a in views.inputs.items() if n.startswith("fold") and n[4:].isdigit()]
    return [address for _, address in sorted(numbered)]


def _committee(p: Packing, label: str, address: str) -> dict[str, Any]:
    artifact = p.at(address)
    found = Committee.read(artifact.folder)
    names = []
    for n, state in enumerate(found.states):
        name = f"{WEIGHTS}/{label}-{n}.safetensors"
        save(state, p.draft / name)
        names.append(name)
    mode = str(artifact.manifest["tags"].get("mode", ""))
    return {"weights": names, "shares": list(found.shares), "mode": mode}


def save(state: State, path: Path) -> None:
    """Write a state dict as safetensors; tensors that share memory become separate."""
    from safetensors.torch import save_file

    save_file({name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}, path)


def _intake(views: Artifact, images: ImageSettings, settings: ModelSettings) -> Intake:
    """What the member's networks take in, as `Intake.of` reads it from all settings."""
    given = views.setting("competition.images_per_sample")
    several = SeveralImagesSettings.model_validate_json(json.dumps(given)) if given else None
    number = several.fixed if several is not None else 1
    if images.pages == "images" or images.tiles is not None:
        number = None
    return Intake(images.channels, number, settings.pool_images)


def _backbone(
    p: Packing,
    member: tuple[int, str],
    settings: ModelSettings,
    seen: tuple[ImageSettings, Intake],
    features: str | None,
) -> tuple[str | None, ModelSettings]:
    """The file of a frozen backbone, compared with the one whose features were used."""
    if features is None:
        return None, settings
    (number, name), (images, intake), artifact = member, seen, p.at(features)
    settings = settings.model_copy(update={"weights": str(artifact.setting("model.weights"))})
    network = networks.build(networks.frozen(settings), UNUSED_OUTPUTS, 0, images.hw, intake=intake)
    if network.measured:
        train = load.prepared(p.at(p.at(artifact.inputs["prepared"]).inputs.get("train", "")), "train")
        network.normalise_by(train, train.ids_N)
    view = parse_all([str(artifact.manifest["config"]["view"])])
    digest = files.read_features(artifact.folder / "features.npz").digest
    sizes = images.hw if images.hw == images.stored_hw else (*images.hw, *images.stored_hw)
    if backbone_digest(network, sizes, view) != digest:
        headline = texts.OTHER_BACKBONE.format(member=name)
        raise DataError(headline, remedy=texts.OTHER_BACKBONE_REMEDY)
    file = f"{WEIGHTS}/{number}-backbone.safetensors"
    save(network.state_dict(), p.draft / file)
    return file, _normalised_as(settings, network)


def _normalised_as(settings: ModelSettings, network: networks.Classifier) -> ModelSettings:
    """With mean and std written down, so that another version of the library cannot change them.

    Measured ones are among the weights.
    """
    settings = settings.model_copy(update={"weights": "none"})
    if network.measured:
        return settings
    mean, std = (buffer.flatten().tolist() for buffer in (network.mean_C11, network.std_C11))
    return settings.model_copy(update={"mean": mean, "std": std})


def _with_normalisation(settings: ModelSettings, images: ImageSettings, intake: Intake) -> ModelSettings:
    bare = networks.frozen(settings.model_copy(update={"weights": "none"}))
    return _normalised_as(settings, networks.build(bare, UNUSED_OUTPUTS, 0, images.hw, intake=intake))


def _look(
    p: Packing, views: Artifact, features: str | None, images: ImageSettings, looks: dict[str, dict[str, Any]]
) -> int:
    """The position of the member's look, which is added to `looks` if it is new."""
    prepared = p.input_of(features, "prepared") if features else views.inputs["prepared"]
    cropping = _section(views, "crop", CropSettings)
    preprocess = _section(views, "preprocess", PreprocessSettings)
    decoded = p.at(p.input_of(prepared, "images"))
    look: dict[str, Any] = {
        "images": images.model_dump(mode="json"),
        "crop": cropping.model_dump(mode="json"),
        "preprocess": preprocess.model_dump(mode="json"),
        "encoding": decoded.setting("competition.encoding"),
        "ranges": p.at(decoded.inputs["train"]).json("ranges.json"),
    }
    boxes = p.at(p.input_of(prepared, "boxes")) if cropping.method in BOXED else None
    known = json.dumps({**look, "from": boxes.address if boxes else None}, sort_keys=True)
    if known not in looks:
        looks[known] = look | _windows(p, len(looks), cropping, images, boxes)
        _copy_own(p, preprocess.function, "preprocess.function")
    return list(looks).index(known)


def _windows(
    p: Packing, number: int, cropping: CropSettings, images: ImageSettings, boxes: Artifact | None
) -> dict[str, Any]:
    table = load.box_table(boxes) if boxes else None
    plan = crop.plan(cropping, table, images.hw)
    test = {name: list(edges) for (split, name), edges in plan.own.items() if split == "test"}
    file = usual = None
    if table is not None and not str(cropping.boxes).endswith(".csv"):
        found = crop.usual_boxes(table, cropping.outlier)
        usual = found and {n: getattr(found, n) for n in ("middle", "spread", "limit")}
    elif test:
        file = f"boxes-{number}.json"
        files.write_json(p.draft / file, test)
    windows = {"shared": list(plan.shared), "margin": plan.margin, "aspect": plan.aspect}
    return {**windows, "usual": usual, "boxes": file}


def _copy_own(p: Packing, name: str | None, setting: str) -> None:
    """Copy the user's function with the files that it imports from its folder."""
    if name is None:
        return
    for path in plugin.sources(name, p.own, setting):
        target = p.draft / folder.OWN / path.relative_to(p.own)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)


def _steps(p: Packing) -> list[dict[str, Any]]:
    if not p.root.has(DECISION):
        return []
    found = []
    groups = str(p.root.setting("decision.groups") or "table")
    for step in p.root.json(DECISION)["steps"]:
        if step["adopted"]:
            if why := steps.fault_of(step["name"], step["fitted"]):
                name = str(p.record["name"])
                headline = texts.UNKNOWN_STEP.format(name=name, step=step["name"], why=why)
                raise DataError(headline, remedy=texts.NOT_THE_SAME_REMEDY)
            found.append({"name": step["name"], "fitted": step["fitted"], "groups": groups})
            _copy_own(p, step["name"] if plugin.is_plugin(step["name"]) else None, "decision.steps")
    return found


def _blend(p: Packing, base: Artifact, sources: Sequence[Source]) -> dict[str, Any]:
    """The rule of the blend; the coefficients of stacking are fitted again, on the same predictions."""
    if base.stage != "ensemble":
        return {"rule": None, "stack": None}
    method = str(base.json(BLEND)["method"])
    if method != "stacking" or len({source.weight for source in sources}) == 1 == len(sources):
        return {"rule": method if method in RULES else "mean", "stack": None}
    train = load.samples(p.at(base.inputs["data"]), "train", p.store.home)
    oofs = [load.oof(p.at(address), n) for n, address in _scored_addresses(base, sources)]
    metric = metrics.get(str(base.setting("competition.metric")))
    settings = base.manifest["settings"]["ensemble"]
    recipe = fitting.Recipe("stacking", bool(settings["temperature"]), None, float(settings["stack_c"]))
    fitted = fitting.fit(recipe, oofs, train.take(oofs[0].ids_N).truth, metric)
    assert fitted.stack is not None, "stacking fits a model"
    name = f"{WEIGHTS}/stacking.safetensors"
    blending.write_stack(p.draft / name, fitted.stack)
    return {"rule": "mean", "stack": name}


def _scored_addresses(base: Artifact, sources: Sequence[Source]) -> list[tuple[str, str]]:
    return [(source.name, base.inputs[f"{MEMBER}{source.name}"]) for source in sources]


def _refuse_other_answers(
    p: Packing, made: folder.Manifest, base: Artifact, sources: Sequence[Source], data: Artifact
) -> None:
    """Raise DataError unless vote and steps, as packed, give exactly what was submitted."""
    tests = [load.test(source.artifact, source.name) for source in sources]
    _refuse_other_trees(p, made, sources, data)
    fitted = blending.fitted_of(p.draft, made)
    blended = tests[0] if fitted is None else fitted.apply(tests, "blend")
    _compare(p, blended, load.test(base, "submitted"))
    grouped = load.samples(data, "test", p.store.home).take(blended.ids_N).groups_N
    if p.root is not base and not any(
        s.groups == "clusters" and s.name == "group_average" for s in made.steps
    ):
        space = load.samples(data, "test", p.store.home).space
        decided = steps.decide(p.draft, made.steps, space, blended, grouped)
        _compare(p, decided.p, load.test(p.root, "submitted"))


def _refuse_other_trees(p: Packing, made: folder.Manifest, sources: Sequence[Source], data: Artifact) -> None:
    """Raise DataError unless the packed trees predict what they did."""
    own = next((source for source in sources if source.of_trees), None)
    if own is None or made.trees is None:
        return
    inputs, facts = own.artifact.inputs, own.artifact.json(trees.FILE)
    read = align([load.test(p.at(inputs[f"{MEMBER}{name}"]), name) for name in facts["members"]])
    test = load.samples(data, "test", p.store.home).take(read[0].ids_N)
    cells = (
        {}
        if test.cells_NM is None
        else {one.name: test.cells_NM[:, at].tolist() for at, one in enumerate(made.metadata)}
    )
    packed = trees.Trees.read(p.draft, made.trees.model_dump(), read[0].target)
    _compare(p, replace(read[0], p_NC=packed.predict(read, cells)), load.test(own.artifact, own.name))


def _compare(p: Packing, packed: Probabilities, submitted: Probabilities) -> None:
    off_N = np.abs(packed.take(submitted.ids_N).p_NC - submitted.p_NC).max(axis=1)
    if off_N.any():
        headline = worded(
            texts.NOT_THE_SAME, name=p.record["name"], rows=int((off_N > 0).sum()), most=float(off_N.max())
        )
        raise DataError(headline, remedy=texts.NOT_THE_SAME_REMEDY)
