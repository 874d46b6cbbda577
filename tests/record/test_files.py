"""What is written is read back, whatever the ids are called, and no pickle is ever loaded."""

import json
import pickle
import zipfile

import numpy as np
import pytest

from pipeline.core.predictions import Features, Probabilities, ViewProbabilities
from pipeline.core.samples import Attribute, FoldPlan, LabelSpace, Samples, Split
from pipeline.record import files

IDS = np.array(["a", "사진 01", "é,\"'\n", "2️⃣", "0007"])
SPACE = LabelSpace.product(
    [Attribute("마스크", ("착용", "미착용"), False), Attribute("gender", ("m", "f", "–"), True)]
)


def probabilities(classes=6, rows=5):
    p = np.random.default_rng(0).random((rows, classes)).astype(np.float32)
    return p / p.sum(1, keepdims=True)


def samples(root, labels, split):
    paths = np.array([str(root / "images" / f"{n} 사진.png") for n in range(5)])
    groups = np.array(["g", "g", "사람", "사람", "h"])
    return Samples(IDS, paths, groups, SPACE, labels, split)


@pytest.mark.parametrize("labels", [np.array([0, 5, 2, 2, 1]), None])
def test_samples(tmp_path, labels):
    split = "train" if labels is not None else "test"
    written = samples(tmp_path, labels, split)
    files.write_samples(tmp_path / "s.npz", written, tmp_path)
    read = files.read_samples(tmp_path / "s.npz", tmp_path)
    for name in ("ids_N", "paths_N", "groups_N"):
        assert (getattr(read, name) == getattr(written, name)).all()
    assert read.split == split
    assert read.space.classes == SPACE.classes
    assert read.space.attributes == SPACE.attributes
    assert (read.space.codes_CA == SPACE.codes_CA).all()
    if labels is None:
        assert read.labels_N is None
    else:
        assert read.labels_N.dtype == np.int64 and (read.labels_N == labels).all()


def test_samples_follow_a_home_that_moved(tmp_path):
    files.write_samples(tmp_path / "s.npz", samples(tmp_path / "old", None, "test"), tmp_path / "old")
    read = files.read_samples(tmp_path / "s.npz", tmp_path / "new")
    assert read.paths_N[0] == str(tmp_path / "new" / "images" / "0 사진.png")


def test_samples_reach_images_outside_the_home(tmp_path):
    written = samples(tmp_path / "elsewhere", None, "test")
    files.write_samples(tmp_path / "s.npz", written, tmp_path / "home")
    assert (files.read_samples(tmp_path / "s.npz", tmp_path / "home").paths_N == written.paths_N).all()


def test_probabilities(tmp_path):
    written = Probabilities(IDS, SPACE.classes, probabilities(), "one")
    files.write_probabilities(tmp_path / "p.npz", written)
    read = files.read_probabilities(tmp_path / "p.npz", "two")
    assert (read.ids_N == IDS).all() and read.classes == SPACE.classes and read.name == "two"
    assert read.p_NC.dtype == np.float32 and (read.p_NC == written.p_NC).all()


def test_views(tmp_path):
    p_VNC = np.stack([probabilities(), probabilities()[:, ::-1]])
    written = ViewProbabilities(IDS, SPACE.classes, ("identity", "shift(1,-1)"), p_VNC, "one")
    files.write_views(tmp_path / "v.npz", written)
    read = files.read_views(tmp_path / "v.npz", "two")
    assert read.views == written.views and read.classes == SPACE.classes and (read.ids_N == IDS).all()
    assert (read.p_VNC == written.p_VNC).all() and read.p_VNC.dtype == np.float32


def test_features(tmp_path):
    x_NVD = np.random.default_rng(0).normal(size=(5, 2, 7)).astype(np.float32)
    written = Features(IDS, ("identity", "hflip"), x_NVD, "d1")
    files.write_features(tmp_path / "f.npz", written)
    read = files.read_features(tmp_path / "f.npz")
    assert (read.ids_N == IDS).all() and read.views == written.views and read.digest == "d1"
    assert (read.x_NVD == x_NVD).all() and read.x_NVD.dtype == np.float32


def test_fold_plan_keeps_order_and_notes(tmp_path):
    splits = tuple(Split(np.roll(IDS, k)[:3], np.roll(IDS, k)[3:]) for k in range(12))
    files.write_plan(tmp_path / "plan.npz", FoldPlan(splits, ("class 착용: 2 groups < 5 folds", "b")))
    read = files.read_plan(tmp_path / "plan.npz")
    assert read.notes == ("class 착용: 2 groups < 5 folds", "b") and len(read) == 12
    for mine, theirs in zip(read.splits, splits, strict=True):
        assert (mine.train_ids == theirs.train_ids).all() and (mine.valid_ids == theirs.valid_ids).all()


def test_json_is_readable_by_people(tmp_path):
    files.write_json(tmp_path / "a.json", {"이름": "값", "n": [1, 2.5, None]})
    text = (tmp_path / "a.json").read_text(encoding="utf-8")
    assert "이름" in text and text.endswith("\n") and text.count("\n") > 3
    assert files.read_json(tmp_path / "a.json") == {"이름": "값", "n": [1, 2.5, None]}


def test_nothing_is_written_as_a_pickle(tmp_path):
    files.write_samples(tmp_path / "s.npz", samples(tmp_path, np.arange(5), "train"), tmp_path)
    files.write_plan(tmp_path / "plan.npz", FoldPlan((Split(IDS[:2], IDS[2:]),) * 2, ()))
    files.write_probabilities(tmp_path / "p.npz", Probabilities(IDS, SPACE.classes, probabilities(), "p"))
    for path in tmp_path.glob("*.npz"):
        with np.load(path, allow_pickle=False) as z:
            assert all(z[name].dtype != object for name in z.files)


def test_a_planted_pickle_is_not_run(tmp_path):
    class Evil:
        def __reduce__(self):
            return (open, (str(tmp_path / "was-run"), "w"))

    with zipfile.ZipFile(tmp_path / "p.npz", "w") as archive:
        header = b"\x93NUMPY\x01\x00v\x00{'descr': '|O', 'fortran_order': False, 'shape': (), }"
        archive.writestr("ids.npy", header.ljust(127) + b"\n" + pickle.dumps(Evil()))
    with pytest.raises(ValueError, match="allow_pickle"):
        files.read_probabilities(tmp_path / "p.npz", "p")
    assert not (tmp_path / "was-run").exists()


def test_the_label_space_is_kept_as_json(tmp_path):
    """Readable in ten years without this code."""
    files.write_samples(tmp_path / "s.npz", samples(tmp_path, None, "test"), tmp_path)
    with np.load(tmp_path / "s.npz") as z:
        attributes, classes, codes = json.loads(str(z["space"]))
    assert attributes[0] == ["마스크", ["착용", "미착용"], False]
    assert classes == list(SPACE.classes) and codes == SPACE.codes_CA.tolist()


def is_mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


def test_features_stay_in_their_file_and_may_be_written_in_parts(tmp_path):
    x = np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32)
    whole = Features(np.array([f"i{n}" for n in range(7)]), ("identity", "hflip"), x, "digest")
    files.write_features(tmp_path / "whole.npz", whole)
    parts = (x[:3], x[3:6], x[6:])
    files.write_features_of(tmp_path / "parts.npz", whole.ids_N, whole.views, whole.digest, parts)
    assert (tmp_path / "whole.npz").read_bytes() == (tmp_path / "parts.npz").read_bytes()
    np.savez(
        tmp_path / "old.npz", ids=whole.ids_N, views=np.array(whole.views), x=x, digest=np.array("digest")
    )
    np.savez_compressed(tmp_path / "small.npz", x=x)
    for name in ("whole", "old"):
        read = files.read_features(tmp_path / f"{name}.npz")
        assert (read.x_NVD == x).all() and read.views == whole.views and read.digest == "digest"
        assert not read.x_NVD.flags.writeable
        assert name == "old" or (is_mapped(read.x_NVD) and read.x_NVD.ctypes.data % 64 == 0)
    assert (files.mapped(tmp_path / "small.npz", "x") == x).all(), "a compressed one is read"
    both = files.joined([x, x[:, :1]], tmp_path, in_memory=0)
    assert is_mapped(both) and (both == np.concatenate([x, x[:, :1]], axis=1)).all()
    assert not is_mapped(files.joined([x, x], tmp_path)) and len(list(tmp_path.iterdir())) == 4
    with pytest.raises(AssertionError, match="3 rows for 7 ids"):
        files.write_features_of(tmp_path / "short.npz", whole.ids_N, whole.views, "", [x[:3]])
