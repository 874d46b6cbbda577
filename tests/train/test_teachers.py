"""The teachers' rule: the labels that validate in fold k change no target, weight or row of fold k.

Jobs are built by the real stages, once with the true labels and once with those of fold 0's validation
part exchanged. What fold 0 learns must stay the same to the last bit; fold 1, which learns them, must not.
"""

import numpy as np
import pytest
import torch
from pixels_world import KINDS, Photos, drawing

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.predictions import Features
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.engine.need import Need
from pipeline.settings.load import load
from pipeline.settings.loss import LossSettings
from pipeline.settings.train import TrainSettings
from pipeline.stages import open_session
from pipeline.train import batched_heads, heads, loop, solved_heads, teachers
from pipeline.train.committee import Committee
from pipeline.train.teachers import teacher

MORE = "{source: web, licence: CC0, images: more, table: more.csv, labelled: false}"
NETWORK = ("experiment=tiny_resnet", "train.epochs=1", "train.batch_size=8", "runtime.threads=1")
PROBE = ("experiment=probe", "train.epochs=2", "train.batch_size=8", "images.size=32", "runtime.threads=1")
PSEUDO = "train.pseudo={threshold: 0.3, soft: true, test_images: true}"


class People(Photos):
    """Photos of people (four each); a column says in which fold they validate; others have no label."""

    def __init__(self, root, swapped=False, train=24):
        super().__init__(root, train=train, test=6)
        rows = []
        for n in range(train):
            person, fold = n // 4, (n // 4) % 2
            kind = KINDS[(n + (swapped and fold == 0)) % 2]
            rows.append((f"{n:03}", f"{n:03}.png", kind, f"p{person}", fold))
        self.table("train.csv", ("id", "path", "kind", "person", "fold"), rows)
        (self.root / "more").mkdir()
        more = [(f"{n}", f"{n}.png", "p0" if n < 102 else f"q{n}") for n in range(100, 112)]
        for name, path, _ in more:
            drawing(int(name)).save(self.root / "more" / path)
        self.table("more.csv", ("id", "path", "person"), more)

    def folds(self, *more):
        words = [
            *("folds.kind=column", "folds.column=fold", "folds.n=2", "competition.group_column=person"),
            *("augment.policy=none", f"competition.extra=[{MORE}]", "statistics.draws=100"),
        ]
        return self.context(*words, *more)


def equal(a, b):
    return all(
        x.keys() == y.keys() and all(torch.equal(x[k], y[k]) for k in x)
        for x, y in zip(a.states, b.states, strict=True)
    )


@pytest.fixture
def jobs(monkeypatch):
    """Every job that is trained, as the stages made it."""
    kept = []
    for module, name in ((loop, "fit"), (batched_heads, "fit_heads"), (solved_heads, "fit_heads")):
        true = getattr(module, name)

        def recorded(job, *more, true=true):
            kept.extend(job if isinstance(job, list) else [job])
            return true(job, *more)

        monkeypatch.setattr(module, name, recorded)
    return kept


def learned(job):
    weights = np.ones(len(job.train_samples), np.float32) if job.weights_N is None else job.weights_N
    rows = [job.rows(e) for e in range(job.train.epochs)]
    return (
        job.train_samples.ids_N.tolist(),
        job.target_NC.numpy().tobytes(),
        weights.tobytes(),
        [(r.index_R.tobytes(), r.copy_R.tobytes()) for r in rows],
        job.train.seed,
    )


LOGITS = "loss.name=logit_adjustment"
CASES = {
    "probe pseudo": (*PROBE, PSEUDO),
    "probe bag": (*PROBE, "train.bag=3", "train.group_share=0.7"),
    "probe weights": (*PROBE, "train.chain={members: 3, inner: 2}"),
    "probe failed": (*PROBE, "train.chain={members: 3, mode: failed, inner: 0}"),
    "network weights": (*NETWORK, "train.chain={members: 3, inner: 2}"),
    "network pseudo": (*NETWORK, PSEUDO),
    "network counts": (
        *(w for w in NETWORK if not w.startswith("train.epochs=")),
        "train.epochs=2",
        "loss.name=ldam",
        "loss.class_weights=inverse",
        "train.swa_start=0",
    ),
    "network mixed": (
        *NETWORK,
        "train.mix={method: cutmix, partner: minority}",
        "loss.name=balanced_softmax",
    ),
    "network stopped": (*NETWORK, "train.early_stopping={patience: 1, share: 0.34}", PSEUDO),
    "network redrawn bag": (*NETWORK, "resample.method=over", "resample.redraw=true", "train.bag=2"),
    "heads": (*PROBE, LOGITS, "train.head_seeds=2", "train.optimizer=lamb"),
    "heads by attribute": (*PROBE, "model.heads=attributes", "loss.class_weights=effective"),
    "heads mlp": (*PROBE, "train.head=mlp", "resample.method=over"),
    "heads logistic": ("experiment=probe_logistic", *PROBE[3:], "train.group_share=0.7"),
}
CASES |= {
    "probe distill": (*PROBE, "train.distill={teachers: [probe, probe_mlp], inner: 2, soft: 0.8}"),
    "network distill": (*NETWORK, "train.distill={teachers: [tiny_cnn, tiny_resnet], inner: 2}"),
    "network own": (*NETWORK, "train.distill={teachers: [tiny_cnn, tiny_resnet], inner: 0}"),
}
QUICK = ("probe pseudo",)


@pytest.mark.parametrize(
    "case", [c if c in QUICK else pytest.param(c, marks=pytest.mark.slow) for c in CASES]
)
def test_labels_that_validate_change_nothing_that_is_learned(tmp_path, jobs, case):
    found = {}
    for swapped in (False, True):
        home = tmp_path / str(swapped)
        people = People(home, swapped)
        for fold in (0, 1):
            jobs.clear()
            artifact = people.folds(*CASES[case]).need("fold", fold=fold)
            # Heads of all folds train side by side: a teacher's other folds are not what this one learns.
            own = [learned(job) for job in jobs if job.fold == fold]
            found[swapped, fold] = (own, Committee.read(artifact.folder))
            assert own or (fold == 1 and case.startswith("heads")), "only a fold of heads is cut out"
    for one, other in zip(found[False, 0][0], found[True, 0][0], strict=True):
        assert one == other
    assert equal(found[False, 0][1], found[True, 0][1])
    assert found[False, 0][1].shares == found[True, 0][1].shares
    assert not equal(found[False, 1][1], found[True, 1][1]), "the test would not notice a change"


@pytest.fixture(scope="module")
def student(tmp_path_factory):
    people = People(tmp_path_factory.mktemp("student"))
    context = people.folds(*PROBE, "train.pseudo={threshold: 0.0}")
    return people, context, [context.need("fold", fold=k) for k in (0, 1)]


def test_a_students_pseudo_labels_are_counted_and_keep_off_groups_that_validate(student):
    _, context, folds = student
    # p0 validates in fold 0: its two unlabelled photos stay out there, and are adopted in fold 1.
    assert [f.metrics["pseudo_same_group"] for f in folds] == [2, 0]
    assert [f.metrics["pseudo_adopted"] for f in folds] == [10, 12]
    table = (folds[0].folder / "pseudo.csv").read_text()
    assert table.startswith("class,given,adopted\n") and "disc," in table
    train = context.need("train")
    assert train.metrics["pseudo_adopted"] == 11 and (train.folder / "pseudo.csv").is_file()
    assert any("pseudo-labels adopted per fold, mean: 11 (" in line for line in train.manifest["lines"])
    oof = teachers.files.read_probabilities(train.folder / "oof.npz", "oof")
    assert len(oof) == 24, "an adopted image never validates"


@pytest.mark.slow
def test_pseudo_labels_keep_off_groups_of_the_inner_split(tmp_path, jobs):
    stops = ("train.early_stopping={patience: 1, share: 0.34}", "train.pseudo={threshold: 0.0}")
    people = People(tmp_path)
    for seed in range(9):
        jobs.clear()
        fold = people.folds(*NETWORK, *stops, f"train.seed={seed}").need("fold", fold=1)
        student = jobs[-1]
        if "p0" in student.inner_samples.groups_N:
            break
    else:
        pytest.fail("no seed puts p0 into the inner split")
    assert fold.metrics["pseudo_same_group"] == 2
    assert not np.isin(["100", "101"], student.train_samples.ids_N).any()


def test_a_student_refuses_a_teacher_that_knows_its_validation_labels(student):
    """What plain out-of-fold labels would be: fold 1's model teaching fold 0."""
    _, context, _ = student
    taught_by = teacher(context.graph, context.settings, "probe")
    of_other_fold = context.get(Need("teach", taught_by, {"fold": 1, "split": "unlabelled"}))
    plan = teachers.load.plan(context.need("folds"))
    with pytest.raises(DataError, match="has seen 12 labels of the validation part of its student's fold 0"):
        teachers.refuse_seen([of_other_fold], plan.splits[0].valid_ids, 0)
    inputs = context.graph.inputs(Need("fold", context.settings, {"fold": 0}))
    taught_by = [need for name, need in inputs.items() if name.startswith("teacher:")]
    assert [need.params for need in taught_by] == [{"fold": 0, "split": "unlabelled"}]


def test_a_teacher_of_other_folds_and_pseudo_without_images_are_refused(student, tmp_path):
    people, _, _ = student
    context = people.folds(*PROBE, "train.pseudo={teachers: [nobody]}")
    with pytest.raises(ConfigError, match="nobody"):
        context.need("fold", fold=0)
    with pytest.raises(ConfigError, match="no unlabelled images"):
        load(["competition=digits", "train.pseudo={threshold: 0.5}"])
    with pytest.raises(ConfigError, match=r"cannot be combined with train\.bag"):
        load(["competition=digits", "train.bag=2", "train.chain={members: 3}"])
    with pytest.raises(ConfigError, match="other folds than its student"):
        pseudo = "train.pseudo={teachers: [debug], test_images: true}"
        plain = ["competition=digits", "competition.demo.limit=100", "experiment=probe", pseudo]
        open_session(load([*plain, f"runtime.home={tmp_path}", "runtime.mlflow=false"])).need("fold", fold=0)


def test_what_the_rule_prevents():
    """Labels without signal: students of plain OOF labels seem to find one, nested ones do not."""
    rng = np.random.default_rng(0)
    n, folds = 240, 4
    ids = np.array([f"d{i}" for i in range(n)])
    x = rng.normal(size=(n, 1, 150)).astype(np.float32)
    features = Features(ids, ("identity",), x, "noise")
    space = LabelSpace.product([Attribute("coin", ("heads", "tails"))])
    samples = Samples(ids, ids, ids, space, rng.integers(0, 2, n), "train")
    part_N = np.arange(n) % folds
    train = TrainSettings(epochs=20, lr=0.1, batch_size=256, weight_decay=0.0, warmup_epochs=0)

    def fit(train_N, valid_N, fold, soft_NC=None):
        job = heads.HeadJob(
            fold, LossSettings(), train, samples.take(ids[train_N]), samples.take(ids[valid_N]), features,
            lambda epoch: heads.TrainRows.of(np.arange(int(train_N.sum()))),
            lambda y, p: 0.0, soft_NC=None if soft_NC is None else soft_NC[train_N],
        )  # fmt: skip
        return batched_heads.fit_heads([job])[0].result.oof.take(ids[valid_N]).p_NC

    def out_of_fold(inside_N, held=None):
        p_NC = np.full((n, 2), np.nan, np.float32)
        for k in range(folds):
            if k != held:
                p_NC[inside_N & (part_N == k)] = fit(inside_N & (part_N != k), inside_N & (part_N == k), k)
        return p_NC

    def score(soft_of):
        right = []
        for k in range(folds):
            p_NC = fit(part_N != k, part_N == k, k, soft_of(k))
            right.append(p_NC.argmax(1) == samples.labels[part_N == k])
        return np.concatenate(right).mean()

    plain = out_of_fold(np.ones(n, bool))
    leaking, nested = score(lambda k: plain), score(lambda k: out_of_fold(part_N != k, k))
    assert abs(leaking - 0.5) > 0.15 and abs(nested - 0.5) < 0.1
