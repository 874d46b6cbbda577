"""A table of images beside that of labels: recognised by `make new`, read, and refused with all faults."""

from dataclasses import replace

import pytest
from inputs_world import picture, shape, table

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.sample_paths import images_of
from pipeline.data import competition
from pipeline.data.new.propose import propose
from pipeline.data.new.request import NewRequest
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.load import load

N, TESTS = 24, 8
PATIENTS = [f"p{n:03}" for n in range(N + TESTS)]


def scans(n):
    """The images of a patient: one to three."""
    return [(f"{n:03}{k}", PATIENTS[n], "LR"[k % 2]) for k in range(1 + n % 3)]


def host(root, split_tables=False, key="patient_id", extra=()):
    """`train.csv` with a row a patient, and images.csv with a row an image; returns the request."""
    rows = [row for n in range(N + TESTS) for row in scans(n)]
    for name, patient, _ in rows:
        picture(root / "images" / f"{name}.png", shape(int(name), PATIENTS.index(patient) % 2))
    table(root / "train.csv", ("patient_id", "cancer"), [(p, n % 2) for n, p in enumerate(PATIENTS[:N])])
    table(root / "test.csv", ("patient_id",), [(p,) for p in PATIENTS[N:]])
    table(root / "sample.csv", ("patient_id", "cancer"), [(p, 0.5) for p in PATIENTS[N:]])
    head = ("image_id", key, "laterality")
    if split_tables:
        of_test = set(PATIENTS[N:])
        table(root / "train_images.csv", head, [r for r in rows if r[1] not in of_test])
        table(root / "test_images.csv", head, [r for r in rows if r[1] in of_test])
    else:
        table(root / "images.csv", head, [*rows, *extra])
    files = (root / "images", root / "train.csv", root / "test.csv", root / "sample.csv")
    return NewRequest("x", *files, home=root)


def proposed(request):
    proposal = propose(request)
    return proposal, {line.path: line.value for line in proposal.lines}


def read(root, found, **more):
    own: dict = {}
    for path, value in found.items():
        first, *sections = path.split(".")
        if first == "competition":
            at = own
            for section in sections[:-1]:
                at = at.setdefault(section, {})
            at[sections[-1]] = value
    own.setdefault("images_per_sample", {}).update(more)
    return competition.load(CompetitionSettings.model_validate(own), root)


@pytest.mark.parametrize("split_tables", [False, True])
@pytest.mark.parametrize("key", ["patient_id", "subject"])
def test_a_table_of_images_is_found_beside_the_labels_and_read(tmp_path, split_tables, key):
    proposal, found = proposed(host(tmp_path, split_tables, key))
    several = {k.rpartition(".")[2]: v for k, v in found.items() if "images_per_sample" in k}
    expected = (
        {"table": "train_images.csv", "test_table": "test_images.csv"}
        if split_tables
        else {"table": "images.csv"}
    )
    assert several == {**expected, "key": key, "path": "image_id"}
    assert found["competition.path_column"] == "patient_id" and found["competition.test_table"] == "test.csv"
    assert any("laterality" in hint for hint in proposal.hints)
    data = read(tmp_path, found)
    assert [len(images_of(path)) for path in data.train.paths_N[:4].tolist()] == [1, 2, 3, 1]
    assert images_of(str(data.test.paths_N[1]))[0].endswith(f"{scans(N + 1)[0][0]}.png")
    assert data.train.ids_N.tolist() == PATIENTS[:N] and data.test.ids_N.tolist() == PATIENTS[N:]


def test_every_fault_of_a_table_of_images_is_named(tmp_path):
    _, found = proposed(host(tmp_path))
    table(
        tmp_path / "images.csv",
        ("image_id", "patient_id"),
        [(r[0], r[1]) for n in range(2, N + TESTS) for r in scans(n)],
    )
    (tmp_path / "images" / "0020.png").unlink()
    with pytest.raises(DataError) as error:
        read(tmp_path, found)
    told = str(error.value)
    for name in PATIENTS[:2]:
        assert f"no row of images.csv has patient_id={name}" in told
    assert "0020" in told
    with pytest.raises(DataError, match="no column `patient`"):
        read(tmp_path, found, key="patient")
    with pytest.raises(DataError, match=r"scans\.csv: there is no such file"):
        read(tmp_path, found, table="scans.csv")


def test_a_table_that_the_user_names_must_be_one_of_images(tmp_path):
    request = host(tmp_path)
    _, found = proposed(replace(request, image_table=tmp_path / "images.csv"))
    assert found["competition.images_per_sample.table"] == "images.csv"
    with pytest.raises(DataError, match=r"IMAGE_TABLE=sample\.csv: it is no table of images"):
        propose(replace(request, image_table=tmp_path / "sample.csv"))
    with pytest.raises(DataError, match="there is no such file"):
        propose(replace(request, image_table=tmp_path / "none.csv"))


def test_the_settings_of_a_table_of_images_are_checked():
    words = ["competition=digits", "competition.images_per_sample={table: images.csv, sample: [a], key: b}"]

    with pytest.raises(ConfigError, match="has sample and table"):
        load(words)
    with pytest.raises(ConfigError) as error:
        load(["competition=digits", "competition.images_per_sample={table: images.csv}"])
    assert "key is missing" in str(error.value) and "path is missing" in str(error.value)
