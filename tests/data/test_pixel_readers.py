"""Images that are no image files: pixels in tables, arrays, HDF5, DICOM; what is said of faulty ones."""

import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from pipeline.core.errors import DataError
from pipeline.data import competition, decode, images
from pipeline.data.decode import Decoding
from pipeline.data.depth import Ranges
from pipeline.data.new.propose import propose
from pipeline.data.new.request import NewRequest
from pipeline.data.readers import frames, pixels
from pipeline.data.readers.reading import Reading, parts, place
from pipeline.data.readers.registry import READERS, Members, Sources
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.images import ImageSettings

RNG = np.random.default_rng(5)


def csv(path, header, rows):
    lines = [",".join(map(str, row)) for row in [header, *rows]]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def request(root, train, test=None, sample=None, where="."):
    given = [root / name if name else None for name in (train, test, sample)]
    return NewRequest("x", root / where, *given, home=root)


def guessed(root, *names, where="."):
    proposal = propose(request(root, *names, where=where))
    return proposal, {line.path: line.value for line in proposal.lines}


def loaded(root, found, reading=None):
    """The competition as a proposal describes it."""
    own: dict = {"root": str(root)}
    for path, value in found.items():
        *sections, last = path.split(".")
        if sections[0] == "competition" and last != "root":
            at = own
            for section in sections[1:]:
                at = at.setdefault(section, {})
            at[last] = value
    return competition.load(CompetitionSettings(**own), root, None, reading)


def seen(samples, reading=None, given=None):
    """(N, H, W, 3) pixels of one split, with the range of these images."""
    how = Decoding(512, sources=Sources(reading or Reading()))
    paths = samples.paths_N.tolist()
    found = images.measured(paths, how)
    how = Decoding(512, ranges=Ranges(given, found), sources=how.sources)
    return np.stack([decode.decode(path, how) for path in paths])


def test_a_column_for_each_pixel_in_the_order_of_their_numbers(tmp_path):
    x = RNG.integers(0, 256, (20, 64))
    x[:, 0], x[:, 1] = 0, 255
    order = RNG.permutation(64)
    names = [f"pixel{n}" for n in order]
    csv(tmp_path / "train.csv", ["label", *names], [[n % 2, *x[n, order]] for n in range(20)])
    csv(tmp_path / "test.csv", names, [x[n, order] for n in range(3)])
    csv(tmp_path / "sample.csv", ["ImageId", "Label"], [(n + 1, 0) for n in range(3)])
    proposal, found = guessed(tmp_path, "train.csv", "test.csv", "sample.csv")
    assert found["competition.train_images"] == "train.csv" and found["competition.path_column"] == "row"
    assert "in 64 columns of numbers, 'pixel0' … 'pixel63'" in "\n".join(proposal.summary())
    data = loaded(tmp_path, found)
    assert data.test.ids_N.tolist() == ["1", "2", "3"]
    assert (seen(data.train)[..., 0].reshape(20, 64) == x).all()
    assert (seen(data.test)[..., 1].reshape(3, 64) == x[:3]).all()


def test_rows_that_a_sample_counts_from_0(tmp_path):
    header = [f"p{n}" for n in range(64)]
    csv(tmp_path / "train.csv", ["y", *header], [[n % 2, *[n] * 64] for n in range(12)])
    csv(tmp_path / "test.csv", header, [[n] * 64 for n in range(4)])
    csv(tmp_path / "sample.csv", ["id", "y"], [(n, 0) for n in range(4)])
    _, found = guessed(tmp_path, "train.csv", "test.csv", "sample.csv")
    assert found["competition.test_id_column"] == "row0"
    assert loaded(tmp_path, found).test.ids_N.tolist() == ["0", "1", "2", "3"]


def test_a_table_of_pixels_without_a_header(tmp_path):
    x = RNG.integers(0, 256, (12, 64))
    rows = [",".join(map(str, [n % 2, *x[n]])) for n in range(12)]
    (tmp_path / "train.csv").write_text("\n".join(rows), encoding="utf-8")
    _, found = guessed(tmp_path, "train.csv")
    assert found["competition.headerless"] == ["train.csv"]
    assert found["competition.attributes"][0]["column"] == "column1"
    data = loaded(tmp_path, found)
    assert len(data.train) + len(data.test) == 12


def test_the_encoding_of_the_competition_holds_for_the_names_of_its_images(tmp_path):
    x = RNG.integers(0, 256, (12, 64))
    x[:, 0], x[:, 1] = 0, 255
    text = "id,y,pixels\n" + "".join(f"кот{n},{n % 2},{' '.join(map(str, x[n]))}\n" for n in range(12))
    (tmp_path / "pixels.csv").write_bytes(text.encode("koi8-r"))
    names = "".join(f"кот{n},{n % 2}\n" for n in range(12))
    (tmp_path / "train.csv").write_bytes(("id,y\n" + names).encode("koi8-r"))
    asked = replace(request(tmp_path, "train.csv", where="pixels.csv"), encoding="koi8-r")
    found = {line.path: line.value for line in propose(asked).lines}
    assert found["competition.train_images"] == "pixels.csv" and found["competition.path_column"] == "id"
    data = loaded(tmp_path, found)
    at = [int(name[3:]) for name in data.train.ids_N.tolist()]
    reading = Reading.of(ImageSettings(), "koi8-r")
    assert (seen(data.train, reading)[..., 0].reshape(-1, 64) == x[at]).all()


def test_images_from_elsewhere_are_read_as_the_settings_say(tmp_path):
    header = ["code", "id", "y", *[f"v{n}" for n in range(9)]]
    for name in ("train", "web"):
        csv(tmp_path / f"{name}.csv", header, [(n + 50, f"{name}{n}", n % 2, *[n] * 9) for n in range(12)])
    found = {
        "competition.name": "x",
        "competition.title": "x",
        "competition.train_table": "train.csv",
        "competition.train_images": "train.csv",
        "competition.id_column": "id",
        "competition.path_column": "id",
        "competition.holdout": 0.3,
        "competition.attributes": [{"name": "y", "column": "y", "values": ["0", "1"]}],
        "competition.extra": [{"source": "web", "licence": "CC0", "images": "web.csv", "table": "web.csv"}],
    }
    reading = Reading(columns=("v*",), key="id", shape=(3, 3))
    data = loaded(tmp_path, found, reading)
    assert [parts(path)[1] for path in data.extra.paths_N.tolist()] == [f"web{n}" for n in range(12)]
    assert seen(data.extra, reading).shape == (12, 3, 3, 3)


def test_a_cell_of_numbers_and_the_ids_of_the_table(tmp_path):
    x = RNG.random((12, 8, 8)).round(4)
    rows = [(f"a{n}", n % 2, " ".join(map(str, x[n].ravel()))) for n in range(12)]
    csv(tmp_path / "train.csv", ["id", "emotion", "pixels"], rows)
    proposal, found = guessed(tmp_path, "train.csv")
    assert found["competition.id_column"] == "id" and found["images.size"] == 32
    assert "64 numbers in each cell of column 'pixels'" in "\n".join(proposal.summary())
    data = loaded(tmp_path, found)
    at = [int(name[1:]) for name in data.train.ids_N.tolist()]
    shown = seen(data.train, given=(0.0, 1.0))[..., 0]
    assert (shown == np.round(x[at].astype(np.float32) * 255)).all()


def bands(n, ids="id"):
    one = RNG.normal(-20, 4, (8, 8)).round(3)
    return {ids: f"a{n}", "band_1": one.ravel().tolist(), "band_2": (one + 6).ravel().tolist(), "y": n % 2}


@pytest.mark.parametrize("form", ["records", "columns", "lines"])
def test_json_of_two_bands_becomes_red_green_and_their_mean(tmp_path, form):
    rows = [bands(n) for n in range(12)]
    text = json.dumps(rows)
    if form == "columns":
        text = json.dumps({name: {str(n): row[name] for n, row in enumerate(rows)} for name in rows[0]})
    name = "train.jsonl" if form == "lines" else "train.json"
    (tmp_path / name).write_text(
        "\n".join(map(json.dumps, rows)) if form == "lines" else text, encoding="utf-8"
    )
    _, found = guessed(tmp_path, name)
    data = loaded(tmp_path, found)
    shown = seen(data.train).astype(int)
    assert shown.shape == (len(data.train), 8, 8, 3)
    assert (abs(shown[..., :2].mean(axis=3) - shown[..., 2]) <= 1).mean() > 0.9


def test_a_line_of_json_ends_at_a_line_feed_only(tmp_path):
    lines = [json.dumps({"id": f"a\u2028{n}", "pixels": [n] * 64}, ensure_ascii=False) for n in range(3)]
    (tmp_path / "x.jsonl").write_bytes("\r\n".join(lines).encode())
    assert Members(tmp_path / "x.jsonl", Reading()).rows == 3


def test_a_name_that_reads_as_a_number_of_a_row_is_a_name(tmp_path):
    rows = [(f"#{3 - n}", n % 2, " ".join([str(n)] * 64)) for n in range(3)]
    members = Members(csv(tmp_path / "train.csv", ["id", "y", "pixels"], rows), Reading())
    for n in range(3):
        kind, path = members.find(f"#{3 - n}", "id")
        assert not kind and (Sources().read(path) == n).all()


def parquet(path, frame):
    pytest.importorskip("pyarrow")
    frame.to_parquet(path)
    return path


def test_parquet_parts_of_pixels_beside_a_table_of_labels(tmp_path):
    x = RNG.integers(0, 256, (12, 8 * 12)).astype(np.uint8)
    x[:, 0], x[:, 1] = 0, 255
    for part in range(2):
        own = slice(6 * part, 6 * part + 6)
        frame = pd.DataFrame(x[own], columns=[str(n) for n in range(96)])
        frame.insert(0, "image_id", [f"Train_{n}" for n in range(12)][own])
        parquet(tmp_path / f"train_image_data_{part}.parquet", frame)
    csv(tmp_path / "train.csv", ["image_id", "y"], [(f"Train_{n}", n % 2) for n in range(12)])
    proposal, found = guessed(tmp_path, "train.csv")
    assert found["competition.train_images"] == "train_image_data_*.parquet"
    assert "images.shape, e.g. [8,12]" in proposal.question
    data = loaded(tmp_path, found)
    with pytest.raises(DataError, match=r"set images\.shape, e\.g\. \[8,12\]"):
        seen(data.train)
    reading = Reading(shape=(8, 12))
    members = Members(tmp_path / "train_image_data_*.parquet", reading)
    sources = Sources(reading)
    for n in range(12):
        kind, path = members.find(f"Train_{n}", "image_id")
        assert not kind and (sources.read(path).ravel() == x[n]).all()


def test_encoded_images_in_a_parquet_table(tmp_path):
    encoded = []
    for n in range(12):
        out = io.BytesIO()
        Image.new("RGB", (16, 12), (n, 20, 30)).save(out, "PNG")
        encoded.append({"bytes": out.getvalue(), "path": f"{n}.png"})
    parquet(tmp_path / "train.parquet", pd.DataFrame({"image": encoded, "label": [n % 2 for n in range(12)]}))
    _, found = guessed(tmp_path, "train.parquet")
    data = loaded(tmp_path, found)
    shown = seen(data.train)
    assert shown.shape[1:] == (12, 16, 3) and set(shown[:, 0, 0, 1]) == {20}


def arrays(root):
    (root / "images").mkdir()
    x = RNG.integers(0, 4096, (12, 10, 8)).astype(np.uint16)
    for n in range(12):
        np.save(root / "images" / f"a{n}.npy", x[n])
    csv(root / "train.csv", ["id", "y"], [(f"a{n}", n % 2) for n in range(12)])
    return x


def test_an_array_a_file_is_found_by_its_name_and_measured_as_16_bits(tmp_path):
    x = arrays(tmp_path)
    _, found = guessed(tmp_path, "train.csv", where="images")
    data = loaded(tmp_path, found)
    at = [int(name[1:]) for name in data.train.ids_N.tolist()]
    shown = seen(data.train, given=(0.0, 4095.0))[..., 2]
    assert (shown == np.round(x[at] * (255 / 4095))).all()


def test_an_npz_with_an_array_for_each_name_and_an_npy_of_all(tmp_path):
    x = RNG.integers(0, 256, (12, 3, 9, 8)).astype(np.uint8)
    np.savez(tmp_path / "train.npz", **{f"a{n}": x[n] for n in range(12)})
    np.save(tmp_path / "all.npy", x)
    csv(tmp_path / "train.csv", ["id", "y"], [(f"a{n}", n % 2) for n in range(12)])
    for where in ("train.npz", "all.npy"):
        _, found = guessed(tmp_path, "train.csv", where=where)
        assert found["competition.train_images"] == where
        data = loaded(tmp_path, found)
        at = [int(name[1:]) for name in data.train.ids_N.tolist()]
        assert (seen(data.train) == np.moveaxis(x[at], 1, -1)).all()


@pytest.mark.parametrize("packed", [True, False])
def test_hdf5_keys_are_names_and_hold_jpegs_or_arrays(tmp_path, packed):
    pytest.importorskip("h5py")
    import h5py

    x = RNG.integers(0, 256, (12, 9, 8, 3)).astype(np.uint8)
    with h5py.File(tmp_path / "train.hdf5", "w") as file:
        for n in range(12):
            out = io.BytesIO()
            Image.fromarray(x[n]).save(out, "PNG")
            file[f"group/a{n}"] = np.void(out.getvalue()) if packed else x[n]
    csv(tmp_path / "train.csv", ["id", "y"], [(f"group/a{n}", n % 2) for n in range(12)])
    _, found = guessed(tmp_path, "train.csv")
    data = loaded(tmp_path, found)
    at = [int(name[7:]) for name in data.train.ids_N.tolist()]
    assert (seen(data.train) == x[at]).all()


def test_faulty_rows_of_pixels_are_each_named_and_the_others_are_read(tmp_path):
    rows = [[n % 2, *[n] * 64] for n in range(6)]
    rows[2][5], rows[4][9] = "x", ""
    file = csv(tmp_path / "train.csv", ["y", *(f"pixel{n}" for n in range(64))], rows)
    sources = Sources()
    with pytest.raises(ValueError, match=r"1 cell of its row is not numeric .first: column 'pixel4', 'x'"):
        sources.read(place(file, "#3"))
    with pytest.raises(ValueError, match="column 'pixel8', ''"):
        sources.read(place(file, "#5"))
    assert sources.read(place(file, "#1")).shape == (8, 8)


def test_a_cell_with_fewer_numbers_is_named(tmp_path):
    cells = [" ".join(["7"] * (64 if n != 2 else 49)) for n in range(4)]
    file = csv(tmp_path / "train.csv", ["y", "pixels"], list(enumerate(cells)))
    with pytest.raises(ValueError, match="it has 49 numbers, and the first row has 64"):
        Sources().read(place(file, "#3"))


def test_missing_names_are_all_listed(tmp_path):
    np.savez(tmp_path / "train.npz", a0=np.zeros((8, 8)))
    csv(tmp_path / "train.csv", ["id", "y"], [(f"a{n}", "ab"[n % 2]) for n in range(4)])
    settings = {"train_images": "train.npz", "path_column": "id", "holdout": 0.5}
    found = {f"competition.{name}": value for name, value in settings.items()}
    found["competition.attributes"] = [{"name": "y", "column": "y", "values": ["a", "b"]}]
    with pytest.raises(DataError) as error:
        loaded(tmp_path, found)
    assert len(error.value.faults) == 3 and "there is no image 'a3' in" in error.value.faults[-1]


@pytest.mark.parametrize(
    ("name", "raw"),
    [
        ("x.npz", b"PK\x03\x04 cut off"),
        ("x.npy", b"\x93NUMPY\x01\x00"),
        ("x.json", b'[{"id": 1, "a": [1'),
        ("x.parquet", b"PAR1 cut off"),
        ("x.csv", b"id,y\na,1\n"),
        ("x.hdf5", b"\x89HDF\r\n\x1a\n"),
    ],
)
def test_damaged_files_of_several_images_are_one_error_that_names_them(tmp_path, name, raw):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_bytes(raw)
    with pytest.raises(DataError, match=name):
        Members(tmp_path / name, Reading())


def valid(kind, folder):
    """The bytes of a file of six images."""
    x = np.arange(6 * 64).reshape(6, 64) % 256
    frame = pd.DataFrame(x, columns=[f"p{n}" for n in range(64)])
    frame.insert(0, "id", [f"a{n}" for n in range(6)])
    out = io.BytesIO()
    if kind == "hdf5":
        h5py = pytest.importorskip("h5py")
        with h5py.File(folder / "valid", "w") as file:
            for n in range(6):
                file[f"a{n}"] = x[n].reshape(8, 8)
        return (folder / "valid").read_bytes()
    if kind == "parquet":
        pytest.importorskip("pyarrow")
        frame.to_parquet(out)
    elif kind == "npz":
        np.savez(out, **{f"a{n}": x[n].reshape(8, 8) for n in range(6)})
    elif kind == "json":
        return json.dumps([{"id": f"a{n}", "b": x[n].tolist()} for n in range(6)]).encode()
    else:
        return frame.to_csv(index=False).encode()
    return out.getvalue()


@pytest.mark.parametrize("kind", ["hdf5", "parquet", "npz", "json", "csv"])
@pytest.mark.filterwarnings("ignore")
def test_mutated_files_are_read_or_named_in_one_error(tmp_path, kind):
    raw, path = valid(kind, tmp_path), tmp_path / f"x.{kind}"
    for _ in range(60):
        mutated = bytearray(raw[: RNG.integers(len(raw) // 2, len(raw) + 1)])
        for at in RNG.integers(0, len(mutated), 5):
            mutated[at] = RNG.integers(256)
        path.write_bytes(bytes(mutated))
        try:
            Members(path, Reading())
            READERS[{"npz": "arrays", "hdf5": "hdf5"}.get(kind, "pixels")].opened(path, Reading())
        except DataError as error:
            assert path.name in str(error)


def test_arrays_of_objects_are_never_loaded(tmp_path):
    np.save(tmp_path / "x.npy", np.array([{}, 1], dtype=object), allow_pickle=True)
    with pytest.raises(ValueError, match="damaged, or no NumPy file"):
        Sources().read(str(tmp_path / "x.npy"))


def test_a_missing_package_is_named_with_its_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    monkeypatch.setitem(sys.modules, "pydicom", None)
    (tmp_path / "x.h5").write_bytes(b"")
    (tmp_path / "x.dcm").write_bytes(b"x")
    with pytest.raises(DataError, match=r"package h5py reads it(.|\n)*podium\[hdf5\]"):
        Members(tmp_path / "x.h5", Reading())
    with pytest.raises(DataError, match=r"package pydicom reads it(.|\n)*podium\[dicom\]"):
        Sources().read(str(tmp_path / "x.dcm"))


@pytest.mark.parametrize(
    ("shape", "reading", "made"),
    [
        ((64,), Reading(), (8, 8)),
        ((96,), Reading(shape=(8, 12)), (8, 12)),
        ((192,), Reading(shape=(8, 8, 3)), (8, 8, 3)),
        ((192,), Reading(shape=(3, 8, 8)), (8, 8, 3)),
        ((9, 8), Reading(), (9, 8)),
        ((9, 8, 1), Reading(), (9, 8)),
        ((2, 9, 8), Reading(), (9, 8, 3)),
        ((1, 9, 8, 3), Reading(), (9, 8, 3)),
        ((9, 8, 7), Reading(bands=(6, 0, 1)), (9, 8, 3)),
        ((13, 64, 64), Reading(bands=(12,)), (64, 64)),
    ],
)
def test_shapes_and_bands(shape, reading, made):
    assert frames.framed(np.zeros(shape, np.uint8), reading).shape == made


@pytest.mark.parametrize(
    ("shape", "reading", "said"),
    [
        ((96,), Reading(), "set images.shape, e.g. [8,12]"),
        ((3072,), Reading(), "[32,32,3] pixel by pixel, or [3,32,32] band by band"),
        ((64,), Reading(shape=(8, 9)), "it has 64 numbers, and images.shape=8 × 9 has 72"),
        ((9, 8, 4), Reading(), "it has 4 bands: set those"),
        ((9, 8, 4), Reading(bands=(0, 1, 4)), "names a band that it lacks: it has 4"),
        ((60, 64, 64), Reading(), "its shape is 60 × 64 × 64"),
        ((0, 8), Reading(), "no value"),
    ],
)
def test_shapes_that_are_no_image_are_refused_with_the_setting(shape, reading, said):
    with pytest.raises(ValueError) as error:
        frames.framed(np.zeros(shape, np.float32), reading)
    assert said in str(error.value)


def test_tables_of_measurements_are_no_pixels():
    header = ["id", *(f"{kind}{n}" for kind in ("margin", "shape") for n in range(40))]
    assert pixels.held(header, ["1", *["0.5"] * 80]) is None
    assert pixels.held(["id", "text"], ["1", "a b c " * 40]) is None


def test_places_are_paths_and_every_suffix_of_a_reader_is_one():
    assert parts(place("/a/b.h5", "x/y::z")) == ("/a/b.h5", "x/y::z")
    assert parts("/a/b::c.png") == ("/a/b::c.png", None)
    for reader in READERS.values():
        assert all(parts(f"/a/b{suffix}::1") == (f"/a/b{suffix}", "1") for suffix in reader.suffixes)


def test_the_same_pixels_elsewhere_are_the_same_content(tmp_path):
    digests = []
    for number, folder in enumerate(("one", "two", "three")):
        (tmp_path / folder).mkdir()
        rows = [[n % 2, *[n + (number == 2)] * 64] for n in range(12)]
        csv(tmp_path / folder / "train.csv", ["y", *(f"pixel{n}" for n in range(64))], rows)
        _, found = guessed(tmp_path / folder, "train.csv")
        data = loaded(tmp_path / folder, found)
        digests.append(competition.content(data.train, lambda path: Path(path).read_text()))
    assert digests[0] == digests[1] != digests[2]


def test_pages_of_a_tiff_are_counted_and_the_first_is_the_image(tmp_path):
    pages = [Image.new("L", (9, 8), value) for value in (10, 200, 90)]
    pages[0].save(tmp_path / "a.tif", save_all=True, append_images=pages[1:])
    path, how = str(tmp_path / "a.tif"), Decoding(64)
    assert decode.pages_of(path, how) == 3
    assert (decode.decode(Path(path), how) == 10).all()
    np.save(tmp_path / "a.npy", np.zeros((3, 9, 8)))
    assert decode.pages_of(str(tmp_path / "a.npy"), how) == decode.pages_of("nowhere.tif", how) == 1
