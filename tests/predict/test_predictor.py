"""A packed submission answers the competition's own test set exactly as it was submitted."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from predict_world import HELPER, OWN, PREPARE, People

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.data import load
from pipeline.predict import folder, packing
from pipeline.predict.predictor import Predictor
from pipeline.record.files import FileIndex
from pipeline.record.store import Store
from pipeline.submit import submission

CHECKOUT = Path(__file__).resolve().parents[2]
NETWORK = ("experiment=tiny_resnet", "model.heads=attributes", "train.bag=2")
BLEND = ("ensemble.members=[tiny_resnet,tiny_cnn]",)


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    return People(tmp_path_factory.mktemp("people"))


@pytest.fixture(scope="module")
def network(people):
    """The submission of a bag of networks with a head for each attribute, and its folder."""
    csv = people.made("infer", *NETWORK)
    return csv, packed(people, csv)


def store_of(people) -> Store:
    return Store(people.home, FileIndex(people.home / "artifacts" / ".index.json"))


def packed(people, csv: Path, own: Path | None = None) -> Path:
    where = people.home / "predictors" / csv.stem
    packing.pack(store_of(people), submission.read(csv), where, 128, own or people.home)
    return where


def submitted(people, csv: Path) -> Probabilities:
    found = store_of(people).at(submission.read(csv)["artifact"])
    assert found is not None
    return load.test(found, "submitted")


def hidden_set(people):
    store = store_of(people)
    data = min(store.all("data"), key=lambda a: a.manifest["created"])
    return load.samples(data, "test", people.home)


def answers(people, where: Path, rows=slice(None), **options):
    test = hidden_set(people)
    given = {"ids": test.ids_N[rows].tolist(), "groups": test.groups_N[rows].tolist()}
    return Predictor.load(where).predict(test.paths_N[rows].tolist(), **given, **options)


def assert_equal_bits(people, csv: Path, where: Path) -> tuple[str, ...]:
    found, wanted = answers(people, where), submitted(people, csv)
    assert np.array_equal(found.p.take(wanted.ids_N).p_NC, wanted.p_NC)
    assert found.unreadable == () and found.p.classes == wanted.classes
    return found.notes


@pytest.mark.slow
def test_a_bag_of_networks_with_heads_for_attributes(people, network):
    csv, where = network
    assert assert_equal_bits(people, csv, where) == ()
    manifest = folder.read(where)
    assert manifest.models == 4 and manifest.members[0].committees[0].shares == [0.5, 0.5]


def test_neighbours_and_order_change_no_bit(people, network):
    whole = answers(people, network[1]).p
    for rows in (slice(None, None, -1), slice(5, 6), slice(3, 30, 4)):
        some = answers(people, network[1], rows).p
        assert np.array_equal(some.p_NC, whole.take(some.ids_N).p_NC)


def test_a_linear_probe_with_weights_from_a_package(people):
    csv = people.made("infer", "experiment=probe")
    where = packed(people, csv)
    assert_equal_bits(people, csv, where)
    assert folder.read(where).members[0].backbone == "weights/0-backbone.safetensors"


@pytest.mark.slow
def test_a_refit_predicts_with_the_one_model_of_all_data(people):
    csv = people.made("refit", "experiment=tiny_cnn")
    where = packed(people, csv)
    assert_equal_bits(people, csv, where)
    assert folder.read(where).models == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("ensemble.temperature=true",),
        ("ensemble.method=geometric",),
        ("ensemble.method=stacking",),
        ("ensemble.method=rank",),
        ("ensemble.method=hard", "ensemble.weights={tiny_resnet: 2}"),
    ],
)
def test_each_way_to_vote(people, words):
    csv = people.made("ensemble", *BLEND, *words)
    where = packed(people, csv)
    notes = assert_equal_bits(people, csv, where)
    assert bool(notes) == ("ensemble.method=rank" in words)
    if notes:
        assert "used the 39 images that were given" in notes[0]


@pytest.fixture
def own(tmp_path, monkeypatch):
    (tmp_path / "mine.py").write_text(OWN + PREPARE, encoding="utf-8")
    (tmp_path / "helper.py").write_text(HELPER, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.slow
@pytest.mark.parametrize(
    ("steps", "words", "note"),
    [
        ("class_scales", (), ""),
        ("prior_correction", ("decision.prior=uniform",), ""),
        ("prior_correction", ("decision.prior=estimated",), "prior_correction looks at all images"),
        ("group_average", (), "group_average looks at all images together"),
        ("class_scales,mine:damp", (), "mine:damp looks at all images"),
    ],
)
def test_each_decision_step(people, own, steps, words, note):
    csv = people.made("ensemble", *BLEND, f"decision.steps=[{steps}]", "decision.adopt=always", *words)
    where = packed(people, csv, own)
    for name in ("mine.py", "helper.py"):
        assert (where / "own" / name).is_file() == ("mine" in steps)
    os.chdir(people.home)  # the functions are in the folder, not where the command runs
    notes = assert_equal_bits(people, csv, where)
    assert (note in "".join(notes)) and bool(notes) == bool(note)


def test_without_groups_an_average_over_groups_says_that_it_changes_nothing(people, own):
    words = ("decision.steps=[group_average]", "decision.adopt=always")
    where = packed(people, people.made("ensemble", *BLEND, *words), own)
    test = hidden_set(people)
    found = Predictor.load(where).predict(test.paths_N.tolist())
    assert found.notes == (
        "group_average averages over groups, and no groups were given: it changed nothing",
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    "words",
    [
        ("crop.method=centre", "preprocess.clahe=2", "images.resize=letterbox"),
        ("preprocess.function=mine:prepared", "images.size=[16,20]"),
        ("crop.method=own_box", "crop.boxes=boxes.csv"),
        ("crop.method=statistics", "crop.boxes=boxes.csv"),
    ],
)
def test_each_way_to_prepare_images(people, own, words):
    rows = [(people.path(f"{n:03}_{k}").stem, 2 + k, 3, 18 + n % 4, 20) for n in range(37) for k in range(3)]
    header = ("id", "x", "y", "w", "h")
    people.table("boxes.csv", [row for row in rows if row[0] != "030_1"], header)
    csv = people.made("infer", "experiment=tiny_cnn", *words)
    where = packed(people, csv, own)
    notes = assert_equal_bits(people, csv, where)
    assert notes == (
        ("1 image has no box in the file of boxes: the window of all images was used",)
        if words[0] == "crop.method=own_box"
        else ()
    )


@pytest.mark.slow
def test_several_grey_images_of_a_sample(people):
    rows = [
        (
            f"{n:03}_{k}",
            f"{n:03}_{k}.png",
            f"p{n}",
            ["young", "middle", "old"][n % 3],
            "bare",
            f"{n:03}_0.png",
        )
        for n in range(37)
        for k in range(3)
    ]
    rows = [(*row[:4], ("bare", "masked")[k % 2], *row[5:]) for k, row in enumerate(rows)]
    header = ("id", "path", "person", "age", "mask", "beside")
    people.table("train2.csv", rows[:72], header)
    people.table(
        "test2.csv", [(r[0], r[1], r[2], r[5]) for r in rows[72:]], ("id", "path", "person", "beside")
    )
    words = (
        "competition.images_per_sample={columns: [path, beside]}",
        "competition.train_table=train2.csv",
        "competition.test_table=test2.csv",
        "images.channels=1",
        "model.pool_images=concat",
    )
    csv = people.made("infer", "experiment=tiny_resnet", *words)
    where = packed(people, csv)
    (member,) = folder.read(where).members
    assert (member.channels, member.images) == (1, 2)
    predictor, wanted = Predictor.load(where), submitted(people, csv)
    given = predictor.pictures(people.root / "test2.csv", root=people.root / "images")
    found = predictor.predict(given).p.take(wanted.ids_N)
    assert np.array_equal(found.p_NC, wanted.p_NC)
    pair = tuple(people.path(name) for name in ("024_1", "024_0"))
    np.testing.assert_allclose(predictor.predict([pair]).p.p_NC[0], found.take(["024_1"]).p_NC[0], atol=1e-6)
    with pytest.raises(DataError, match="a sample of this competition has several files"):
        predictor.pictures(people.root / "images")


def test_more_images_than_the_samples_of_the_competition_are_refused_by_name(people, network):
    path = people.path("030_1")
    with pytest.raises(DataError) as error:
        Predictor.load(network[1]).predict([path, (path, path)], ids=["one", "two"])
    assert error.value.faults == ("two: 2 images",) and "at most 1" in error.value.headline


def test_paths_bytes_and_arrays_are_the_same_image(people, network):
    from PIL import Image

    path = people.path("030_1")
    sources = [path, path.read_bytes(), np.asarray(Image.open(path))]
    p_NC = Predictor.load(network[1]).predict(sources, ids=["a", "b", "c"]).p.p_NC
    assert np.array_equal(p_NC[0], p_NC[1]) and np.array_equal(p_NC[0], p_NC[2])


def test_a_part_of_the_ensemble_and_of_its_views(people):
    from pipeline.predict.predictor import Part

    csv = people.made("ensemble", *BLEND, "ensemble.method=geometric")
    predictor = Predictor.load(packed(people, csv))
    given = predictor.pictures(people.root / "test.csv")[:4]
    part = predictor.one_part(given, Part({"tiny_cnn": ("hflip",)}))
    assert list(part.seconds) == [("tiny_cnn", "hflip")] and part.p_M[0].p_NC.shape == (4, 6)
    assert not np.allclose(part.p_M[0].p_NC, predictor.one_part(given).p_M[0].p_NC)


def test_altered_weights_are_refused_by_name(people, network, tmp_path):
    shutil.copytree(network[1], tmp_path / "copy")
    (weights, *others) = sorted((tmp_path / "copy" / "weights").iterdir())
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    others[0].unlink()
    with pytest.raises(DataError) as error:
        Predictor.load(tmp_path / "copy")
    assert len(error.value.faults) == 2
    assert f"weights/{weights.name}: its sha256 is" in error.value.faults[0]
    assert error.value.faults[1] == f"weights/{others[0].name}: it is missing"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"form": 99}, "it has form 99"),
        ({"members": []}, "members: List should have at least 1 item"),
        ({"files": {"../x": {"sha256": "0" * 64, "bytes": 1}}}, "it is a path that can leave its folder"),
    ],
)
def test_a_manifest_with_faults_is_refused(network, tmp_path, change, said):
    shutil.copytree(network[1], tmp_path / "copy")
    path = tmp_path / "copy" / folder.MANIFEST
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}), encoding="utf-8")
    with pytest.raises(DataError) as error:
        Predictor.load(tmp_path / "copy")
    assert said in str(error.value)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(DataError, match="this is no folder of a predictor"):
        Predictor.load(tmp_path)


def test_members_from_elsewhere_are_named(people):
    train, test = (people.home / f"mate_{name}.csv" for name in ("oof", "test"))
    people.run("oof", options=("--file", str(people.made("infer", *NETWORK)), "--out", str(train)))
    shutil.move(people.home / "mate_oof-test.csv", test)
    word = f"file:{test}+{train}"
    csv = people.made("ensemble", f'ensemble.members=[tiny_cnn,"{word}"]')
    with pytest.raises(DataError) as error:
        packed(people, csv)
    assert "1 member is a file of predictions" in error.value.headline
    assert error.value.faults[0].startswith("mate_test: ") and "mate_test.csv" in error.value.faults[0]


def test_results_that_are_gone_are_named_with_the_command_that_builds_them(people, tmp_path):
    csv = people.made("infer", "experiment=tiny_cnn")
    store = Store(tmp_path, FileIndex(tmp_path / "artifacts" / ".index.json"))
    with pytest.raises(DataError) as error:
        packing.pack(store, submission.read(csv), tmp_path / "x", 128, tmp_path)
    assert error.value.faults[0].startswith("infer/")
    assert error.value.remedy == f"build them again: make reproduce FILE=submissions/{csv.name}"
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_it_loads_no_pandas_no_record_and_no_search(network):
    code = (
        "import sys\nfrom pipeline.predict.predictor import Predictor\n"
        f"p = Predictor.load({str(network[1])!r})\n"
        "import numpy as np\np.predict([np.zeros((20, 20, 3), np.uint8)])\n"
        "heavy = ('pandas', 'mlflow', 'optuna', 'albumentations', 'omegaconf', 'sklearn', 'sqlalchemy')\n"
        "print([m for m in heavy if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["tiny_cnn", "probe"])
def test_networks_that_see_less_than_the_prepared_images(people, experiment):
    """Cropped in training from 24 px for a network of 16; the same bits in the folder, and in a graph."""
    import torch

    from pipeline.predict.exporting import pixels_of
    from pipeline.predict.graph import EnsembleGraph

    views = "infer.views=[identity,scale(1.4),hflip]"
    words = (f"experiment={experiment}", "images.store_px=24", views, "augment.policy=heavy")
    words = words if experiment == "tiny_cnn" else words[:-1]
    csv = people.made("infer", *words)
    where = packed(people, csv)
    assert_equal_bits(people, csv, where)
    predictor = Predictor.load(where)
    seen = pixels_of(predictor)
    assert seen[0].shape[1:3] == (24, 24) and predictor.size_of(predictor.manifest.members[0]) == (16, 16)
    with torch.no_grad():
        p = EnsembleGraph(predictor).eval()(*map(torch.from_numpy, seen)).numpy()
    np.testing.assert_allclose(p, predictor.of_pixels(seen).p_NC, atol=1e-4)
