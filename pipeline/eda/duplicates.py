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

import sys
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from tqdm import tqdm

from pipeline.core.samples import Floats, Ints
from pipeline.eda.survey import THUMB_SIDE, Duplicates, Glance, duplicates_of
from pipeline.pages.report import Pixels
from pipeline.settings.eda import EdaSettings

NEIGHBOUR = 3
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
    size = max(1, BLOCK_NUMBERS // max(len(hashes), 1))
    starts = range(0, len(hashes), size)
    for start in tqdm(starts, "near-duplicates", leave=False, disable=not sys.stderr.isatty()):
        rows = np.arange(start, min(start + size, len(hashes)))
        bits_BN = np.bitwise_count(hashes[rows, None] ^ hashes[None, :])
        close_BN = bits_BN <= settings.near_bits
        close_BN[np.arange(len(rows)), rows] = False
        # A picture without contrast has no shape to compare.
        close_BN &= ~flat_N[rows, None] & ~flat_N[None, :]
        some = close_BN.any(axis=1)
        if some.any():
            other_BN = bits_BN[some] > settings.near_bits
            pairs = _proven(rows[some], close_BN[some], other_BN, unit_ND, settings)
            yield [(a, b) for a, b in pairs if abs(np.log2(contrast_N[a] / contrast_N[b])) <= OCTAVES]


def _proven(
    rows: Ints,
    close_BN: npt.NDArray[np.bool_],
    other_BN: npt.NDArray[np.bool_],
    unit_ND: Floats,
    settings: EdaSettings,
) -> list[tuple[int, int]]:
    match_BN = unit_ND[rows] @ unit_ND.T
    # If hardly any image differs by its hash, the hash cannot decide: then all images count.
    decides_B1 = other_BN.sum(axis=1, keepdims=True) >= NEIGHBOUR
    others_BN = np.where(other_BN | ~decides_B1, match_BN, -1)
    third = min(NEIGHBOUR, others_BN.shape[1])
    # Distance of unit vectors: √(2 − 2 · correlation).
    reach_B = 2 - 2 * np.partition(others_BN, -third, axis=1)[:, -third]
    near_BN = (2 - 2 * match_BN) <= settings.near_ratio**2 * reach_B[:, None]
    at, partner = np.nonzero(close_BN & (match_BN >= settings.near_match) & near_BN)
    return list(zip(rows[at].tolist(), partner.tolist(), strict=True))


def _standardised(thumbs: Pixels) -> tuple[Floats, Floats]:
    """(N, D) thumbnails of mean 0 and length 1, and (N,) their contrasts, never zero."""
    flat_ND = thumbs.reshape(len(thumbs), THUMB_SIDE**2 * 3).astype(np.float32)
    flat_ND -= flat_ND.mean(axis=1, keepdims=True)
    contrast_N = np.maximum(flat_ND.std(axis=1), TINY)
    return flat_ND / (contrast_N[:, None] * np.float32(np.sqrt(flat_ND.shape[1]))), contrast_N


def _join(pairs: list[tuple[int, int]], size: int) -> list[list[int]]:
    """Pairs to sets: images linked through others belong together; sets in order of first members."""
    at_P2 = np.array(pairs, np.int64).reshape(-1, 2)
    links = coo_array((np.ones(len(pairs)), tuple(at_P2.T)), shape=(size, size))
    set_N = connected_components(links, directed=False)[1]
    sets: dict[int, list[int]] = {}
    for at in np.unique(at_P2).tolist():
        sets.setdefault(set_N[at], []).append(at)
    return list(sets.values())
