"""Metadata of tables: read with the samples, faults named, and part of what a result is made of."""

import pytest
from inputs_world import with_metadata

from pipeline.core.errors import DataError, UserError
from pipeline.data import competition, load
from pipeline.engine.need import Need
from pipeline.settings.load import load as settings_of
from pipeline.stages import open_session


def read(root, own):
    return competition.load(settings_of(list(own)).config.competition, root)


def test_cells_are_read_beside_the_samples_and_belong_to_the_content(tmp_path):
    own = with_metadata(tmp_path, train=8, test=4)
    found = read(tmp_path, own)
    assert found.train.cells_NM.shape == (8, 2) and found.test.cells_NM.shape == (4, 2)
    assert found.train.cells_NM[3, 0] == ""
    before = competition.content(found.train, lambda path: "x")
    text = (tmp_path / "train.csv").read_text().replace("north", "west")
    (tmp_path / "train.csv").write_text(text)
    assert competition.content(read(tmp_path, own).train, lambda path: "x") != before


def test_numbers_that_are_none_and_missing_columns_are_all_named(tmp_path):
    own = with_metadata(tmp_path, train=8, test=4)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    cells = [line.split(",") for line in lines]
    cells[1][1], cells[3][1] = "old", "1_0"
    (tmp_path / "train.csv").write_text("\n".join(",".join(row) for row in cells) + "\n")
    with pytest.raises(DataError, match="2 metadata that are no numbers") as told:
        read(tmp_path, own)
    assert "train.csv row 2 (id s00): metadata age: 'old' is no number" in told.value.faults[0]
    (tmp_path / "test.csv").write_text((tmp_path / "test.csv").read_text().replace("site", "place"))
    with pytest.raises(DataError) as told:
        read(tmp_path, own)
    assert "no column `site`" in str(told.value.faults)


def test_columns_that_are_the_label_or_say_nothing_are_noted(tmp_path):
    own = with_metadata(tmp_path, train=8, test=4)
    lines = (tmp_path / "train.csv").read_text().splitlines()
    rows = [[r[0], "", r[3], r[3]] for r in (line.split(",") for line in lines[1:])]
    (tmp_path / "train.csv").write_text("\n".join([lines[0], *(",".join(r) for r in rows)]) + "\n")
    notes = "\n".join(read(tmp_path, own).notes)
    assert "metadata age: no training row has a value" in notes
    assert "warning: metadata site is the label in other words" in notes


def test_prepared_images_carry_the_metadata_of_their_samples(tmp_path):
    own = with_metadata(tmp_path / "files", train=8, test=4)
    session = open_session(settings_of([*own, f"runtime.home={tmp_path}"]))
    prepared = session.get(Need("prepared", session.settings))
    columns = load.metadata_columns(prepared)
    train, test = (load.prepared(prepared, split) for split in ("train", "test"))
    assert train.beside_NE.shape == (8, columns.width) and test.beside_NE.shape == (4, columns.width)
    assert test.beside_NE[1, columns.names.index("site=other")] == 1


@pytest.mark.parametrize(
    ("override", "said"),
    [
        ("competition.metadata=[{column: kind, kind: category}]", "is a label"),
        ("competition.metadata=[{column: id, kind: category}]", "is the id"),
        ("competition.metadata=[{column: a, kind: number}, {column: a, kind: number}]", "names a twice"),
    ],
)
def test_columns_that_cannot_be_metadata_are_refused(tmp_path, override, said):
    own = [w for w in with_metadata(tmp_path, train=8, test=4) if not w.startswith("competition.metadata")]
    with pytest.raises(UserError) as told:
        settings_of([*own, override])
    assert said in str(told.value.faults)


def test_methods_that_make_feature_rows_are_refused_with_metadata(tmp_path):
    own = with_metadata(tmp_path, train=8, test=4)
    with pytest.raises(UserError) as told:
        settings_of([*own, "experiment=probe", "resample.method=smote"])
    assert "makes rows of features, which have no metadata" in str(told.value.faults)
