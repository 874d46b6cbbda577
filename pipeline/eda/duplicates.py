"""Near-duplicates: the same picture saved, scaled or cropped again.

Owns the search and its criteria. Does not own identical files (`eda/survey.py`) nor what copies harm
(`eda/findings.py`).

Two images are copies when three things hold:
  1. their perceptual hashes differ in at most `near_bits` of 64 bits;
  2. their 8 × 8 thumbnails correlate by at least `near_match` and have about the same contrast;
  3. their thumbnails are much nearer to each other than to the rest of the data set: at most
     `near_ratio` of the distance to the third nearest image that is a different picture by its hash.
Flat drawings and digits need the third: there all hashes collide (7,899 pairs of the 1,797 digits are within
12 bits, 3,994 of them correlate), and one pair passes. Source of the idea: the ratio
test of Lowe (2004), Distinctive Image Features from Scale-Invariant Keypoints, section 7.1.

Why no library: cleanvision and imagededup decode every file again, know neither labels, groups nor
splits, and use one fixed threshold for all data; cleanvision takes only equal hashes, which misses crops, and
imagededup brings its own torch models. The image facts already contain the hash, so only this file is needed.
The search compares every pair, block by block: exact, 3 to 16 s for 20,000 images, constant memory.
A multi-index over 64 bits prunes nothing at a radius of 12.

Shape legend: N images, B images of a block.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd

from pipeline.core.samples import Floats, Ints
from pipeline.core.seeds import some_of
from pipeline.core.terminal import bar_of
from pipeline.eda.survey import THUMB_SIDE, Duplicates, Glance, duplicates_of
from pipeline.pages.report import Pixels
from pipeline.settings.eda import EdaSettings

NEIGHBOUR = 3
# Hashes of 64 bits in words of 16 bits, by which rows are found; all pairs are looked at where there are few
# rows, or where a word would find more than this share of them.
WORDS, WORD_BITS, WORD_VALUES = 4, 16, 1 << 16
FEW, INDEX_PAYS = 5000, 0.2
# Images against which a pair is proven; all, unless there are more.
MOST_COMPARED = 20_000
# Numbers in the largest table of a block: 16 MB of 64-bit hashes.
BLOCK_NUMBERS = 2_000_000
# Standard deviation of grey levels below which a thumbnail has no shape.
FLAT, TINY = 1.0, 1e-3
# How far contrasts may differ: a white disc and a black one are not copies.
OCTAVES = 0.6


def near_duplicates(images: pd.DataFrame, seen: Glance, settings: EdaSettings) -> tuple[Duplicates, ...]:
    """Sets of the survey's images that are copies of each other without being equal files."""
    # Equal files count as one picture here: the survey reports them.
    first = np.flatnonzero(~images["sha256"].duplicated().to_numpy())
    hashes = np.array([int(text, 16) for text in images["phash"].iloc[first]], np.uint64)
    sets = copies(hashes, seen.thumbs_NTT3[first], settings)
    return tuple(duplicates_of(images.iloc[first[members]], exact=False) for members in sets)


def copies(hashes_N: npt.NDArray[np.uint64], thumbs_NTT3: Pixels, settings: EdaSettings) -> list[list[int]]:
    """Positions of pictures that are copies of each other, one list per set; equal files included."""
    pairs = [pair for block in _pairs(hashes_N, thumbs_NTT3, settings) for pair in block]
    return _join(pairs, len(hashes_N))


def _pairs(
    hashes: npt.NDArray[np.uint64], thumbs: Pixels, settings: EdaSettings
) -> Iterator[list[tuple[int, int]]]:
    unit_ND, contrast_N = _standardised(thumbs)
    flat_N = contrast_N < FLAT
    for pair_P2 in close_pairs(hashes, settings.near_bits):
        # A picture without contrast has no shape to compare.
        pair_P2 = pair_P2[~flat_N[pair_P2].any(axis=1)]
        octaves_P = np.abs(np.log2(contrast_N[pair_P2[:, 0]] / contrast_N[pair_P2[:, 1]]))
        pair_P2 = pair_P2[octaves_P <= OCTAVES]
        match_P = np.einsum("pd,pd->p", unit_ND[pair_P2[:, 0]], unit_ND[pair_P2[:, 1]])
        alike_P = match_P >= settings.near_match
        if alike_P.any():
            yield _proven(pair_P2[alike_P], match_P[alike_P], hashes, unit_ND, settings)


def close_pairs(hashes_N: npt.NDArray[np.uint64], most_bits: int) -> Iterator[Ints]:
    """(P, 2) pairs of rows, the first below the second, whose hashes differ in few bits; each pair once.

    Of many hashes not all pairs are looked at: two that differ in 12 of 64 bits differ in at most 3 bits of
    one of four words of 16 bits (Norouzi et al. 2012, multi-index hashing, doi:10.1109/CVPR.2012.6248043).
    """
    masks = _masks(most_bits // WORDS)
    if len(hashes_N) < FEW or WORDS * len(masks) > WORD_VALUES * INDEX_PAYS:
        yield from _close_pairs_of_all(hashes_N, most_bits)
        return
    word_WN = np.stack([(hashes_N >> np.uint64(WORD_BITS * w)).astype(np.uint16) for w in range(WORDS)])
    rows = np.arange(len(hashes_N))
    for word, value_N in enumerate(bar_of("near-duplicates", "word", word_WN)):
        order = np.argsort(value_N, kind="stable")
        end_V = np.cumsum(np.bincount(value_N, minlength=WORD_VALUES))
        size_V = np.diff(end_V, prepend=0)
        for mask in masks:
            wanted_N = value_N ^ mask
            size_N = size_V[wanted_N]
            one_P = np.repeat(rows, size_N)
            first_N = end_V[wanted_N] - np.cumsum(size_N)
            other_P = order[np.arange(len(one_P)) + np.repeat(first_N, size_N)]
            above = one_P < other_P
            one_P, other_P = one_P[above], other_P[above]
            near = np.bitwise_count(hashes_N[one_P] ^ hashes_N[other_P]) <= most_bits
            pair_P2 = np.stack([one_P[near], other_P[near]], axis=1)
            # A pair that an earlier word has found already.
            known = np.bitwise_count(word_WN[:word, pair_P2[:, 0]] ^ word_WN[:word, pair_P2[:, 1]])
            yield pair_P2[~(known <= most_bits // WORDS).any(axis=0)]


def _close_pairs_of_all(hashes_N: npt.NDArray[np.uint64], most_bits: int) -> Iterator[Ints]:
    size = max(1, BLOCK_NUMBERS // max(len(hashes_N), 1))
    starts = range(0, len(hashes_N), size)
    for start in bar_of("near-duplicates", "block", starts):
        bits_BN = np.bitwise_count(hashes_N[start : start + size, None] ^ hashes_N[None, :])
        one_P, other_P = np.nonzero(bits_BN <= most_bits)
        above = one_P + start < other_P
        yield np.stack([one_P[above] + start, other_P[above]], axis=1)


def _masks(most_bits: int) -> npt.NDArray[np.uint16]:
    """Every word of 16 bits with at most so many bits set."""
    every = np.arange(WORD_VALUES, dtype=np.uint32).astype(np.uint16)
    return every[np.bitwise_count(every) <= most_bits]


def _proven(
    pair_P2: Ints, match_P: Floats, hashes_N: npt.NDArray[np.uint64], unit_ND: Floats, settings: EdaSettings
) -> list[tuple[int, int]]:
    """The pairs that are much nearer to each other than one of them is to its neighbours by another hash."""
    some = np.unique(pair_P2)
    reach_S = _reach(some, hashes_N, unit_ND, settings.near_bits)
    # Distance of unit vectors: √(2 − 2 · correlation).
    reach_P2 = reach_S[np.searchsorted(some, pair_P2)]
    near_P = ((2 - 2 * match_P)[:, None] <= settings.near_ratio**2 * reach_P2).any(axis=1)
    return [(int(a), int(b)) for a, b in pair_P2[near_P]]


def _reach(rows: Ints, hashes_N: npt.NDArray[np.uint64], unit_ND: Floats, near_bits: int) -> Floats:
    """(R,) squared distance of each row to the third nearest image whose hash says that it is another one.

    Of very many images, some are drawn and compared.
    """
    drawn = np.array(some_of(len(hashes_N), MOST_COMPARED), np.int64)
    hashes_M, unit_MD = hashes_N[drawn], unit_ND[drawn]
    third = min(NEIGHBOUR, len(drawn))
    reach_R = np.zeros(len(rows), np.float32)
    size = max(1, BLOCK_NUMBERS // len(drawn))
    for start in range(0, len(rows), size):
        block = rows[start : start + size]
        other_BM = np.bitwise_count(hashes_N[block, None] ^ hashes_M[None]) > near_bits
        # If hardly any image differs by its hash, the hash cannot decide: then all images count.
        decides_B1 = other_BM.sum(axis=1, keepdims=True) >= NEIGHBOUR
        match_BM = np.where(other_BM | ~decides_B1, unit_ND[block] @ unit_MD.T, -1)
        reach_R[start : start + size] = 2 - 2 * np.partition(match_BM, -third, axis=1)[:, -third]
    return reach_R


def _standardised(thumbs: Pixels) -> tuple[Floats, Floats]:
    """(N, D) thumbnails of mean 0 and length 1, and (N,) their contrasts, never zero."""
    flat_ND = thumbs.reshape(len(thumbs), THUMB_SIDE**2 * 3).astype(np.float32)
    flat_ND -= flat_ND.mean(axis=1, keepdims=True)
    contrast_N = np.maximum(flat_ND.std(axis=1), TINY)
    return flat_ND / (contrast_N[:, None] * np.float32(np.sqrt(flat_ND.shape[1]))), contrast_N


def _join(pairs: list[tuple[int, int]], size: int) -> list[list[int]]:
    """Pairs to sets: images linked through others belong together; sets in order of first members."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    at_P2 = np.array(pairs, np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), tuple(at_P2.T)), shape=(size, size))
    set_N = connected_components(links, directed=False)[1]
    sets: dict[int, list[int]] = {}
    for at in np.unique(at_P2).tolist():
        sets.setdefault(set_N[at], []).append(at)
    return list(sets.values())
