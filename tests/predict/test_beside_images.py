"""Metadata, trees, tiles and samples of many images in a packed submission: the same bits as submitted."""

import numpy as np
import pytest
from predict_world import People
from test_predictor import hidden_set, packed, submitted

from pipeline.core.errors import DataError
from pipeline.core.predictions import Probabilities
from pipeline.core.tables import Table
from pipeline.predict import beside, folder
from pipeline.predict.predictor import Predictor

COLUMNS = (
    folder.Metadata(name="height", kind="number", values=[]),
    folder.Metadata(name="site", kind="category", values=["1", "2", "arm"]),
)


def test_values_of_python_are_the_cells_of_a_table():
    given = {"height": [3, None, 2.5], "site": [1.0, float("nan"), "arm"], "more": [0, 0, 0]}
    cells = beside.given(given, COLUMNS, 3)
    assert cells == [("3", "1"), ("", ""), ("2.5", "arm")]
    table = Table("new.csv", ("site", "height"), (("1", "3"), ("", ""), ("arm", "2.5")), (2, 3, 4))
    assert beside.of_table(table, COLUMNS) == cells
    assert np.array_equal(
        beside.encoded(COLUMNS, cells),
        np.array([[3, 0, 1, 0, 0, 0, 0], [np.nan, 1, 0, 0, 0, 1, 0], [2.5, 0, 0, 0, 1, 0, 0]], np.float32),
        equal_nan=True,
    )


def test_faults_of_metadata_are_all_named():
    with pytest.raises(DataError) as error:
        beside.given({"height": [1]}, COLUMNS, 2)
    assert error.value.faults == ("height: 1 value for 2 images", "site: it is missing")
    with pytest.raises(DataError) as error:
        beside.given({"height": ["tall", 1, "?", "x"], "site": [1] * 4}, COLUMNS, 4)
    assert error.value.faults == ("image 0: height is 'tall'", "image 3: height is 'x'")
    table = Table("new.csv", ("height",), (("1",),), (2,))
    with pytest.raises(DataError, match="1 column missing"):
        beside.of_table(table, COLUMNS)


def test_a_value_that_training_never_had_is_told():
    cells = [("1", "arm"), ("2", "leg"), ("", "?"), ("3", "leg")]
    assert beside.notes(COLUMNS, cells) == [
        "2 images have a value of site that the training table lacks: leg"
    ]


@pytest.fixture(scope="module")
def people(tmp_path_factory):
    made = People(tmp_path_factory.mktemp("people"))
    for split in ("train", "test"):
        lines = (made.root / f"{split}.csv").read_text(encoding="utf-8").splitlines()
        rows = [f"{line},{n % 7 if n % 5 else ''},{'abc'[n % 3]}" for n, line in enumerate(lines)]
        rows[0] = f"{lines[0]},height,site"
        (made.root / f"{split}3.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return made


METADATA = (
    "competition.metadata=[{column: height, kind: number}, {column: site, kind: category}]",
    "competition.train_table=train3.csv",
    "competition.test_table=test3.csv",
)


def cells_of(people) -> dict[str, list[str]]:
    test = hidden_set(people)
    return {name: test.cells_NM[:, at].tolist() for at, name in enumerate(("height", "site"))}


def assert_same(people, csv, where) -> tuple[Predictor, Probabilities]:
    """The table of the test set and values from Python give what was submitted, in any order."""
    predictor, wanted = Predictor.load(where), submitted(people, csv)
    given = predictor.pictures(people.root / "test3.csv", root=people.root / "images")
    found = predictor.predict(given)
    assert np.array_equal(found.p.take(wanted.ids_N).p_NC, wanted.p_NC)
    turned = predictor.predict(given[::-1]).p.take(wanted.ids_N)
    assert np.array_equal(turned.p_NC, wanted.p_NC)
    return predictor, wanted


@pytest.mark.slow
@pytest.mark.parametrize("refit", [False, True])
def test_metadata_and_trees_predict_what_was_submitted(people, refit):
    pytest.importorskip("lightgbm", reason="NOT TESTED: the extra gbdt is not installed")
    words = ("ensemble.members=[gbdt,tiny_cnn,probe]", "ensemble.gbdt.min_rows=5", "ensemble.method=mean")
    csv = people.made("ensemble", *METADATA, *words, f"ensemble.refit={str(refit).lower()}")
    where = packed(people, csv)
    predictor, wanted = assert_same(people, csv, where)
    manifest = predictor.manifest
    assert [voter.name for voter in manifest.voters] == ["tiny_cnn", "probe", "gbdt"] or [
        voter.name for voter in manifest.voters
    ] == ["gbdt", "tiny_cnn", "probe"]
    assert [m.votes for m in manifest.members] == [True, True, *([False, False] if refit else [])]
    assert list(where.glob("trees-*.txt"))
    test = hidden_set(people)
    paths, ids = test.paths_N.tolist(), test.ids_N.tolist()
    found = predictor.predict(paths, ids=ids, metadata=cells_of(people)).p
    assert np.array_equal(found.take(wanted.ids_N).p_NC, wanted.p_NC)
    with pytest.raises(DataError, match=r"members read metadata beside the images \(height, site\)"):
        predictor.predict(paths)
    with pytest.raises(DataError, match="none is given"):
        predictor.pictures(people.root / "images")


@pytest.mark.slow
def test_the_command_takes_metadata_from_the_table_of_a_folder(people, tmp_path):
    csv = people.made("infer", "experiment=tiny_cnn", *METADATA)
    images, out = str(people.root / "images"), str(tmp_path / "out.csv")
    file = ("--file", str(csv), "--images", images, "--out", out)
    said = people.run("predict", options=file, code=2)
    assert (
        "members read metadata beside the images (height, site)" in said.err and "TABLE=test.csv" in said.err
    )
    said = people.run("predict", options=(*file, "--table", str(people.root / "test3.csv")))
    assert "72 images of the folder are not in test3.csv" in said.out
    rows = (tmp_path / "out.csv").read_text(encoding="utf-8").splitlines()
    wanted = submitted(people, csv)
    assert len(rows) == 40 and {row.split(",")[0] for row in rows[1:]} == set(wanted.ids_N.tolist())
    said = people.run("predict", options=(*file, "--table", str(people.root / "test.csv")), code=2)
    assert "2 columns missing" in said.err and "'height'" in said.err


@pytest.mark.slow
def test_tiles_are_cut_from_new_images_as_in_the_competition(people):
    words = ("images.tiles={size: 16, stride: 8, most: 4}", "images.cache_px=32")
    csv = people.made("infer", "experiment=tiny_cnn", *words)
    where = packed(people, csv)
    (member,) = folder.read(where).members
    assert member.images is None
    assert_same(people, csv, where)


@pytest.mark.slow
@pytest.mark.parametrize("pool", ["mean", "attention"])
def test_samples_of_a_varying_number_of_images_are_predicted_alone_as_together(people, pool):
    rows = [
        (f"{n:03}", f"p{n}", ["young", "middle", "old"][n % 3], ("bare", "masked")[n % 2]) for n in range(37)
    ]
    many = [(f"{n:03}_{k}.png", *row) for n, row in enumerate(rows) for k in range(1 + n % 3)]
    header = ("path", "who", "person", "age", "mask")
    people.table("train4.csv", [row for row in many if row[1] < "024"], header)
    people.table("test4.csv", [row[:3] for row in many if row[1] >= "024"], header)
    words = (
        "competition.images_per_sample={sample: [who]}",
        "competition.id_column=who",
        "competition.sample_submission=null",
        "competition.train_table=train4.csv",
        "competition.test_table=test4.csv",
        f"model.pool_images={pool}",
    )
    csv = people.made("infer", "experiment=tiny_resnet", *words)
    predictor, wanted = Predictor.load(packed(people, csv)), submitted(people, csv)
    given = predictor.pictures(people.root / "test4.csv", root=people.root / "images")
    found = predictor.predict(given).p.take(wanted.ids_N)
    assert np.array_equal(found.p_NC, wanted.p_NC)
    for some in (given[:1], given[3:5][::-1]):
        alone = predictor.predict(some).p
        assert np.array_equal(alone.p_NC, wanted.take(alone.ids_N).p_NC)


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["tiny_resnet", "probe"])
def test_inference_in_another_order_or_of_one_image_changes_no_bit(people, experiment):
    header, *rows = (people.root / "test.csv").read_text(encoding="utf-8").splitlines()
    words = (f"experiment={experiment}", "competition.sample_submission=null")
    wanted = submitted(people, people.made("infer", *words))
    for name, some in (("turned", rows[::-1]), ("one", rows[4:5])):
        (people.root / f"{name}.csv").write_text("\n".join([header, *some]) + "\n", encoding="utf-8")
        said = people.run("infer", *words, f"competition.test_table={name}.csv")
        line = next(line for line in said.out.splitlines() if line.startswith("submission: "))
        found = submitted(people, people.home / "submissions" / line.rpartition("/")[2])
        assert len(found) == len(some)
        assert np.array_equal(found.p_NC, wanted.take(found.ids_N).p_NC)
