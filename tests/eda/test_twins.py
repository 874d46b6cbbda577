import io

import cv2
import numpy as np
import pandas as pd
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from benchmarks.eda_faults import photos
from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.core.seeds import rng
from pipeline.data.decode import Decoding
from pipeline.data.images import DecodedImages, build_decoded
from pipeline.eda import duplicates
from pipeline.eda.survey import glance
from pipeline.settings.eda import EdaSettings

SPACE = LabelSpace.product([Attribute("kind", ("a", "b"))])


def search(pictures, folder, settings=None, labels=None, groups=None, test=()):
    """Near-duplicates among pictures, measured as the pipeline measures them; ids are positions."""
    paths = []
    for k, picture in enumerate(pictures):
        paths.append(str(folder / f"{k}.png"))
        Image.fromarray(picture).save(paths[-1])
    ids = [str(k) for k in range(len(pictures))]
    build_decoded([Samples(ids, paths, ids, SPACE, None, "train")], folder, Decoding(512))
    decoded = DecodedImages(folder)
    images = decoded.facts().assign(
        split=["test" if k in test else "train" for k in range(len(ids))],
        label=labels if labels is not None else 0,
        group=groups if groups is not None else ids,
    )
    seen = glance(images, 2, lambda split, name: decoded.read(name))
    return duplicates.near_duplicates(images, seen, settings or EdaSettings())


def names(found):
    return {frozenset(int(name) for _, name in d.members) for d in found}


def resaved(picture, scale, quality, cut=0):
    height, width = picture.shape[:2]
    part = picture[cut : height - cut, cut : width - cut]
    small = cv2.resize(part, (round(scale * width), round(scale * height)), interpolation=cv2.INTER_AREA)
    buffer = io.BytesIO()
    Image.fromarray(small).save(buffer, "JPEG", quality=quality)
    return np.asarray(Image.open(buffer))


@pytest.fixture(scope="module")
def crops():
    return [np.asarray(Image.open(io.BytesIO(file))) for _, file in photos(None, 7, 20)]


def test_resized_recompressed_and_cropped_copies_are_found_and_nothing_else(crops, tmp_path):
    made = [*crops, resaved(crops[3], 0.5, 95), resaved(crops[50], 1, 35), resaved(crops[90], 0.8, 60, cut=1)]
    n = len(crops)
    assert names(search(made, tmp_path)) == {
        frozenset({3, n}),
        frozenset({50, n + 1}),
        frozenset({90, n + 2}),
    }


def test_sets_know_labels_groups_and_splits(crops, tmp_path):
    made = [*crops, resaved(crops[0], 0.5, 90), resaved(crops[0], 0.7, 60)]
    n = len(crops)
    labels = [0] * (n + 1) + [1]
    groups = ["one" if k in (0, n, n + 1) else str(k) for k in range(n + 2)]
    (found,) = search(made, tmp_path, labels=labels, groups=groups, test={n})
    assert len(found.members) == 3 and found.conflict and found.train_test
    assert not found.across_groups and not found.exact


def test_equal_files_are_not_told_again(crops, tmp_path):
    assert search([*crops, crops[3]], tmp_path) == ()


def test_digits_and_flat_pictures_do_not_alarm(tmp_path):
    digits = [np.kron(255 - g * 15.9, np.ones((4, 4))).astype(np.uint8) for g in load_digits().images[:900]]
    flat = [np.full((32, 32), value, np.uint8) for value in range(60, 90)]
    drawn = [np.stack([picture] * 3, axis=2) for picture in (*digits, *flat)]
    found = names(search(drawn, tmp_path))
    assert len(found) <= 2, "these digits hold thousands of pairs of similar hashes"
    assert not [members for members in found if max(members) >= len(digits)]


def test_blocks_do_not_change_the_answer(crops, tmp_path, monkeypatch):
    made = [*crops[:60], resaved(crops[3], 0.5, 95), resaved(crops[50], 1, 35)]
    whole = search(made, tmp_path)
    monkeypatch.setattr(duplicates, "BLOCK_NUMBERS", 7 * len(made))
    assert search(made, tmp_path) == whole and len(whole) == 2


def test_a_chain_of_copies_is_one_set():
    pairs = [(int(a), int(a) + 1) for a in rng(0, "chain").permutation(50)]
    assert duplicates._join(pairs, 60) == [list(range(51))]
    assert duplicates._join([(4, 2), (7, 9), (2, 5)], 10) == [[2, 4, 5], [7, 9]]


def test_few_images_and_none():
    empty = pd.DataFrame({name: [] for name in ("split", "id", "label", "group", "sha256", "phash")})
    assert (
        duplicates.near_duplicates(empty, glance(empty, 2, lambda s, i: np.zeros((8, 8, 3))), EdaSettings())
        == ()
    )


@pytest.mark.parametrize("most_bits", [0, 5, 12, 15, 24])
def test_pairs_of_many_hashes_are_those_that_all_pairs_would_give(monkeypatch, most_bits):
    some = rng(1, "hashes").integers(0, 2**63, 300, dtype=np.uint64)
    flipped = rng(2, "bits").integers(0, 64, (300, 6), dtype=np.uint64)
    near = some.copy()
    for column in flipped.T:
        near ^= np.uint64(1) << column
    hashes = np.concatenate([some, near, some[:50], near[:20]])
    expected = np.concatenate(list(duplicates.close_pairs(hashes, most_bits)))
    monkeypatch.setattr(duplicates, "FEW", 0)
    found = np.concatenate(list(duplicates.close_pairs(hashes, most_bits)))
    assert len(expected) >= 70
    assert sorted(map(tuple, found.tolist())) == sorted(map(tuple, expected.tolist()))


def test_copies_are_found_when_only_some_images_can_be_compared(crops, tmp_path, monkeypatch):
    monkeypatch.setattr(duplicates, "MOST_COMPARED", 20)
    made = [*crops, resaved(crops[3], 0.5, 95)]
    assert names(search(made, tmp_path)) == {frozenset({3, len(crops)})}
