"""`make new` on samples of several images, files per channel, pages and bands."""

import numpy as np
import pytest
import tifffile
from inputs_world import SIDE, channel_files, pairs, picture, shape, table

from pipeline.core.errors import DataError
from pipeline.core.sample_paths import every_file, images_of
from pipeline.data import competition
from pipeline.data.new.propose import propose
from pipeline.data.new.request import NewRequest
from pipeline.settings.competition import CompetitionSettings

KINDS = ("disc", "box")
N = 24


def guess(root, *names, where="images"):
    """(the proposal, its values by path)."""
    given = [root / name if name else None for name in names]
    given += [None] * (3 - len(given))
    proposal = propose(NewRequest("x", root / where, *given, home=root))
    return proposal, {line.path: line.value for line in proposal.lines}


def read(root, found):
    own: dict = {}
    for path, value in found.items():
        sections = path.split(".")
        if sections[0] == "competition":
            at = own
            for section in sections[1:-1]:
                at = at.setdefault(section, {})
            at[sections[-1]] = value
    return competition.load(CompetitionSettings.model_validate(own), root)


def drawn(path, n, kind=0):
    picture(path, np.stack([shape(n, kind)] * 3, axis=-1))


TABLES = ("train.csv", "test.csv", "sample_submission.csv")


def test_columns_of_paths_in_both_tables_are_images_of_the_row(tmp_path):
    pairs(tmp_path, "columns", train=N, test=8, missing=(3, 30))
    proposal, found = guess(tmp_path, *TABLES)
    assert found["competition.images_per_sample.columns"] == ["left", "right"]
    data = read(tmp_path, found)
    assert [len(images_of(path)) for path in data.train.paths_N.tolist()[2:5]] == [2, 1, 2]
    assert len(images_of(data.test.paths_N.tolist()[6])) == 1
    assert "each of these columns leads to an image of the row" in proposal.yaml()


def test_rows_of_one_answer_are_images_of_a_sample_named_by_several_columns(tmp_path):
    rows, tests = [], []
    for n in range(N):
        for view in ("CC", "MLO"):
            drawn(tmp_path / "images" / f"{view}{n}.png", n, n % 2)
            rows.append((f"p{n // 2}", f"{view}{n}", "LR"[n % 2], view, n * 3 % 2))
    for n in range(8):
        for view in ("CC", "MLO"):
            drawn(tmp_path / "images" / f"t{view}{n}.png", n, n % 2)
            tests.append((f"q{n // 2}", f"t{view}{n}", "LR"[n % 2], view, f"q{n // 2}_{'LR'[n % 2]}"))
    head = ("patient_id", "image_id", "side", "view")
    table(tmp_path / "train.csv", (*head, "cancer"), rows)
    table(tmp_path / "test.csv", (*head, "prediction_id"), tests)
    ids = list(dict.fromkeys(row[-1] for row in tests))
    table(tmp_path / "sample_submission.csv", ("prediction_id", "cancer"), [(i, 0.5) for i in ids])
    proposal, found = guess(tmp_path, *TABLES)
    assert found["competition.images_per_sample.sample"] == ["patient_id", "side"]
    assert "competition.metadata" not in found
    assert "view: it differs between the images of a sample" in "\n".join(proposal.hints)
    found["competition.submission.positive"] = ["1"]
    data = read(tmp_path, found)
    assert data.test.ids_N.tolist() == ids
    assert len(data.train) == N and {len(images_of(p)) for p in data.train.paths_N.tolist()} == {2}


def test_rows_of_one_answer_without_a_common_name_are_refused_with_what_to_do(tmp_path):
    for n in range(N + 8):
        drawn(tmp_path / "images" / f"i{n}.png", n)
    table(tmp_path / "train.csv", ("image", "kind"), [(f"i{n}", KINDS[n % 2]) for n in range(N)])
    table(tmp_path / "test.csv", ("image", "case"), [(f"i{n}", f"c{n // 2}") for n in range(N, N + 8)])
    ids = [f"c{n}" for n in range(N // 2, N // 2 + 4)]
    table(tmp_path / "sample_submission.csv", ("case", "kind"), [(i, "disc") for i in ids])
    with pytest.raises(DataError, match="which images of the training table belong together") as told:
        guess(tmp_path, *TABLES)
    assert "add a column like `case` to the training table" in told.value.remedy


@pytest.mark.parametrize(
    "form", ["{n}_left.png {n}_right.png", "left/{n}.png right/{n}.png", "{n}/a.png {n}/b.png"]
)
def test_files_named_after_a_sample_are_its_images(tmp_path, form):
    for n in range(N + 8):
        for at, name in enumerate(form.split()):
            drawn(tmp_path / "images" / name.format(n=f"s{n}"), n, n % 2 if at else 0)
    rows = [(f"s{n}", KINDS[n % 2]) for n in range(N + 8)]
    table(tmp_path / "train.csv", ("case", "kind"), rows[:N])
    table(tmp_path / "test.csv", ("case",), [row[:1] for row in rows[N:]])
    table(tmp_path / "sample_submission.csv", ("case", "kind"), [(name, "disc") for name, _ in rows[N:]])
    _, found = guess(tmp_path, *TABLES)
    assert len(found["competition.images_per_sample.files"]) == 2
    data = read(tmp_path, found)
    assert {len(images_of(p)) for p in [*data.train.paths_N.tolist(), *data.test.paths_N.tolist()]} == {2}


@pytest.mark.parametrize("form", ["{id}/im{n}.png", "{id}_{n}.png"])
def test_samples_with_different_numbers_of_files_get_a_pattern(tmp_path, form):
    names = [f"case{n}" for n in range(N + 8)]
    for n, name in enumerate(names):
        for k in range(1 + n % 4):
            drawn(tmp_path / "images" / form.format(id=name, n=k), n, n % 2)
    table(
        tmp_path / "train.csv", ("case", "kind"), [(name, KINDS[n % 2]) for n, name in enumerate(names[:N])]
    )
    table(tmp_path / "test.csv", ("case",), [(name,) for name in names[N:]])
    table(tmp_path / "sample_submission.csv", ("case", "kind"), [(name, "disc") for name in names[N:]])
    _, found = guess(tmp_path, *TABLES)
    assert found["competition.images_per_sample.files"] == [form.replace("im{n}", "*").replace("{n}", "*")]
    data = read(tmp_path, found)
    assert [len(images_of(path)) for path in data.train.paths_N.tolist()[:4]] == [1, 2, 3, 4]


def test_files_of_colours_are_channels_of_one_image(tmp_path):
    channel_files(tmp_path, train=N)
    table(tmp_path / "sample_submission.csv", ("id", "kind"), [(f"s{n}", "disc") for n in range(N, N + 8)])
    _, found = guess(tmp_path, *TABLES)
    assert found["images.channels"] == 4
    assert found["competition.channel_files"] == [
        f"{{id}}_{c}.png" for c in ("blue", "green", "red", "yellow")
    ]
    data = read(tmp_path, found)
    assert {len(every_file(path)) for path in data.train.paths_N.tolist()} == {4}
    assert {len(images_of(path)) for path in data.train.paths_N.tolist()} == {1}
    assert found["images.size"] == 32


@pytest.mark.parametrize(
    ("pages", "settings"),
    [
        ([(SIDE, SIDE)] * 3, {"images.pages": "channels", "images.channels": 3}),
        ([(SIDE, SIDE, 3)] * 3, {"images.pages": "images"}),
        ([(SIDE, SIDE)] * 12, {"images.pages": "images"}),
    ],
)
def test_tiffs_of_several_pages_are_never_silently_one(tmp_path, pages, settings):
    (tmp_path / "images").mkdir()
    for n in range(N):
        with tifffile.TiffWriter(tmp_path / "images" / f"s{n}.tif") as file:
            for size in pages:
                values = np.full(size, n, np.uint8)
                file.write(values, photometric="rgb" if len(size) == 3 else "minisblack")
    table(tmp_path / "train.csv", ("id", "kind"), [(f"s{n}", KINDS[n % 2]) for n in range(N)])
    proposal, found = guess(tmp_path, "train.csv")
    assert {name: found.get(name) for name in settings} == settings
    assert any("if pages are no such thing" in hint for hint in proposal.hints)


def test_arrays_of_five_bands_are_five_channels(tmp_path):
    (tmp_path / "images").mkdir()
    for n in range(N):
        np.save(tmp_path / "images" / f"s{n}.npy", np.zeros((5, 20, 20), np.float32))
    table(tmp_path / "train.csv", ("id", "kind"), [(f"s{n}.npy", KINDS[n % 2]) for n in range(N)])
    _, found = guess(tmp_path, "train.csv")
    assert found["images.channels"] == 5


def test_columns_of_both_tables_are_metadata_and_odd_ones_are_named(tmp_path):
    rows = []
    for n in range(N + 8):
        drawn(tmp_path / "images" / f"s{n}.png", n, n % 2)
        site = ("north", "south", "")[n // 3 % 3]
        rows.append((f"s{n}", 20 + n * 7 % 40, site, "same", ("d1", "b1")[n % 2], f"p{n // 3}", KINDS[n % 2]))
    head = ("id", "age", "site", "device", "code", "patient_id")
    labelled = [(*row[:6], n % 5, row[6]) for n, row in enumerate(rows[:N])]
    table(tmp_path / "train.csv", (*head, "seen_only_here", "kind"), labelled)
    table(tmp_path / "test.csv", head, [row[:6] for row in rows[N:]])
    table(tmp_path / "sample_submission.csv", ("id", "kind"), [(row[0], "disc") for row in rows[N:]])
    proposal, found = guess(tmp_path, *TABLES)
    assert found["competition.metadata"] == [
        {"column": "age", "kind": "number"},
        {"column": "site", "kind": "category"},
    ]
    assert found["competition.group_column"] == "patient_id"
    hints = "\n".join(proposal.hints)
    assert "device: all rows have the same value" in hints and "code: it is the label in other words" in hints
    data = read(tmp_path, found)
    assert data.train.cells_NM.shape == (N, 2)


def test_without_a_test_table_metadata_is_a_hint(tmp_path):
    for n in range(N):
        drawn(tmp_path / "images" / f"s{n}.png", n, n % 2)
    rows = [(f"s{n}", 20 + n * 7 % 40, KINDS[n % 2]) for n in range(N)]
    table(tmp_path / "train.csv", ("id", "age", "label"), rows)
    proposal, found = guess(tmp_path, "train.csv")
    assert "competition.metadata" not in found
    assert any("could be metadata" in hint and "age" in hint for hint in proposal.hints)


def write_rows(root, name, *rows):
    (root / name).write_text("\n".join(",".join(map(str, row)) for row in rows) + "\n", encoding="utf-8")


def test_columns_of_paths_that_hold_the_image_folders_own_name_are_images_of_the_row(tmp_path):
    train, test = [["frame", "center", "left", "turn"]], [["frame", "center", "left"]]
    for n in range(N):
        paths = [f"IMG/{side}_{n}.png" for side in ("center", "left")]
        for kind, path in enumerate(paths):
            drawn(tmp_path / path, n, kind)
        if n < 18:
            train.append([f"f{n}", *paths, n / 10 - 0.83])
        else:
            test.append([f"f{n}", *paths])
    write_rows(tmp_path, "train.csv", *train)
    write_rows(tmp_path, "test.csv", *test)
    write_rows(tmp_path, "sample.csv", ["frame", "turn"], *([row[0], 0.0] for row in test[1:]))
    _, found = guess(tmp_path, "train.csv", "test.csv", "sample.csv", where="IMG")
    assert found["competition.images_per_sample.columns"] == ["center", "left"]
    assert found["competition.train_images"] == "."
    data = read(tmp_path, found)
    assert all(len(images_of(path)) == 2 for path in data.test.paths_N.tolist())


def test_folders_of_patients_above_those_of_their_studies_are_groups_of_labels_too(tmp_path):
    train, test = [["path", "edema", "effusion"]], []
    for n in range(N):
        path = f"scans/patient{n // 2:03d}/study1/view{n % 2}.png"
        drawn(tmp_path / path, n)
        if n < 18:
            train.append([path, n % 2, n % 3 % 2])
        else:
            test.append([path, 0.5, 0.5])
    write_rows(tmp_path, "train.csv", *train)
    write_rows(tmp_path, "sample.csv", train[0], *test)
    _, found = guess(tmp_path, "train.csv", None, "sample.csv", where="scans")
    assert "patient" in found["competition.group_pattern"] and found["competition.target"] == "labels"
    data = read(tmp_path, found)
    assert len(set(data.train.groups_N.tolist())) == 9


def test_distinct_numbers_that_spread_wide_are_metadata_and_those_that_count_rows_are_not(tmp_path):
    train, test = [["id", "area", "row", "price"]], [["id", "area", "row"]]
    for n in range(90):
        drawn(tmp_path / "images" / f"a{n}.png", n)
        area = 700 + 41 * ((n * 37) % 90)
        (train if n < 70 else test).append([f"a{n}", area, 1000 + n, *([area * 3.5] if n < 70 else [])])
    write_rows(tmp_path, "train.csv", *train)
    write_rows(tmp_path, "test.csv", *test)
    write_rows(tmp_path, "sample.csv", ["id", "price"], *([row[0], 0.0] for row in test[1:]))
    _, found = guess(tmp_path, "train.csv", "test.csv", "sample.csv")
    assert found["competition.metadata"] == [{"column": "area", "kind": "number"}]


def test_few_images_get_a_head_that_is_solved(tmp_path):
    from pipeline.data.new.sizes import members

    assert members(100, 96)[0] == "probe_logistic" and members(900, 96)[0] == "probe"
    assert members(900, 96, "values")[0] == members(900, 96, "labels")[0] == "probe_logistic"
