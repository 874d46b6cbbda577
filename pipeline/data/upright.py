"""Which way up an image is: the orientation, and nothing else of a file's metadata.

Owns reading the orientation from EXIF or XMP, and turning. Does not own decoding (`data/decode.py`).

Cameras, phones and editors write fields that are wrong, unusual or damaged. Nobody needs them here, so they
are never parsed: of the EXIF block only the list of fields is walked, up to the one with the orientation.
What cannot be understood means "as stored"; metadata never stops a picture.

Source: the TIFF 6.0 and EXIF 2.32 specifications.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from PIL import Image

Pixels = npt.NDArray[np.uint8]

ORIENTATION = 0x0112
UPRIGHT = 1
ON_ITS_SIDE = (5, 6, 7, 8)
# Types of a field -> how one value is read: byte, short, long.
TYPES = {1: "B", 3: "H", 4: "I"}
IN_XMP = re.compile(rb"tiff:Orientation(?:=\"|>)([0-9])")
ENTRY_BYTES = 12
# Byte order of a TIFF, and so of an EXIF block -> how it begins.
HEADS = {"<": b"II*\0", ">": b"MM\0*"}
# Fields of a TIFF that have no part in its pixels: texts, resolution, XMP, IPTC, EXIF, profile.
DESCRIBE = (
    *(269, 270, 271, 272, 282, 283, 285, 296, 305, 306, 315, 316, 700),
    *(33432, 33723, 34377, 34665, 34675, 34853),
)
# Type and number of values of an emptied field: one byte.
EMPTY_FIELD = (1, 1)
PNG, PNG_FRAME = b"\x89PNG\r\n\x1a\n", 12
PNG_TEXTS = (b"tEXt", b"zTXt", b"iTXt", b"iCCP", b"tIME", b"pHYs")
EXIF_HEAD = b"Exif\0\0"


def orientation_of(file: Image.Image) -> int:
    """1 to 8 as EXIF counts them; 1 if nothing understandable says otherwise."""
    directory = getattr(file, "tag_v2", None)
    found = _of_tiff(directory) if directory is not None else _of_exif(_exif_bytes(file))
    if found is None:
        found = _of_xmp(file)
    return found if found is not None and 1 <= found <= 8 else UPRIGHT


def without_other_metadata(file: Image.Image, orientation: int) -> None:
    """Pillow turns a TIFF by itself while it loads, from all its fields; give it the orientation alone."""
    only = Image.Exif()
    if orientation != UPRIGHT:
        only[ORIENTATION] = orientation
    file.getexif = lambda: only  # type: ignore[method-assign]
    for name in ("xmp", "XML:com.adobe.xmp"):
        file.info.pop(name, None)


def without_odd_fields(raw: bytes) -> bytes:
    """The bytes of a file that does not decode, without the metadata that may be the reason.

    Pillow reads all fields of the TIFF or EXIF block when it opens a TIFF or an AVIF, and all texts and the
    colour profile of a PNG; an odd one stops it. The orientation stays.
    """
    if raw.startswith(PNG):
        return PNG + b"".join(_png_chunks(raw))
    starts = [(raw.find(head), order) for order, head in HEADS.items() if head in raw]
    if not starts:
        return raw
    begin, order = min(starts)
    changed = bytearray(raw)
    for at, tag in _fields(raw[begin:], order):
        if tag in DESCRIBE or (begin and tag != ORIENTATION):
            struct.pack_into(f"{order}HI4x", changed, begin + at + 2, *EMPTY_FIELD)
    return bytes(changed)


def _png_chunks(raw: bytes) -> Iterator[bytes]:
    """The chunks of a PNG, without texts and the profile, and without an EXIF block that is damaged."""
    at = len(PNG)
    while at + PNG_FRAME <= len(raw):
        length, kind = struct.unpack_from(">I4s", raw, at)
        chunk = raw[at : at + PNG_FRAME + length]
        whole = zlib.crc32(chunk[4:-4]) == int.from_bytes(chunk[-4:], "big")
        if kind not in PNG_TEXTS and (whole or kind != b"eXIf"):
            yield chunk
        at += PNG_FRAME + length
    yield raw[at:]


def turned(image: Pixels, orientation: int) -> Pixels:
    """(H, W, 3) pixels as stored, turned upright."""
    if orientation in ON_ITS_SIDE:
        image = image.transpose(1, 0, 2)
    # After that, what is left is a flip: left to right, top to bottom, or both.
    if orientation in (2, 3, 6, 7):
        image = image[:, ::-1]
    if orientation in (3, 4, 7, 8):
        image = image[::-1]
    return np.ascontiguousarray(image)


def _of_tiff(directory: object) -> int | None:
    try:
        value = directory.get(ORIENTATION)  # type: ignore[attr-defined]
    except Exception:  # an odd field
        return None
    return value if isinstance(value, int) else None


def _exif_bytes(file: Image.Image) -> bytes:
    block = file.info.get("exif")
    if isinstance(block, bytes):
        return block
    # Old PNG files: hexadecimal digits after three lines.
    text = file.info.get("Raw profile type exif")
    if isinstance(text, str):
        try:
            return bytes.fromhex("".join(text.split("\n")[3:]))
        except ValueError:
            return b""
    return b""


def _of_exif(block: bytes) -> int | None:
    """The orientation in the first directory of an EXIF block."""
    while block.startswith(EXIF_HEAD):
        block = block[len(EXIF_HEAD) :]
    order = next((order for order, head in HEADS.items() if block.startswith(head)), None)
    if order is None:
        return None
    for at, tag in _fields(block, order):
        kind, values = struct.unpack_from(f"{order}HI", block, at + 2)
        if tag == ORIENTATION and kind in TYPES and values == 1:
            return int(struct.unpack_from(f"{order}{TYPES[kind]}", block, at + 8)[0])
    return None


def _fields(block: bytes, order: str) -> Iterator[tuple[int, int]]:
    """Place and tag of every complete field in the first directory of a TIFF or EXIF block."""
    try:
        (start,) = struct.unpack_from(f"{order}I", block, 4)
        (count,) = struct.unpack_from(f"{order}H", block, start)
    except struct.error:  # cut off
        return
    for at in range(start + 2, start + 2 + count * ENTRY_BYTES, ENTRY_BYTES):
        if at + ENTRY_BYTES > len(block):
            return
        yield at, struct.unpack_from(f"{order}H", block, at)[0]


def _of_xmp(file: Image.Image) -> int | None:
    for name in ("XML:com.adobe.xmp", "xmp"):
        packet = file.info.get(name)
        raw = packet.encode("utf-8", "replace") if isinstance(packet, str) else packet
        if isinstance(raw, bytes) and (match := IN_XMP.search(raw)):
            return int(match[1])
    return None
