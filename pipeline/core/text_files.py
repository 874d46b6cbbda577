"""A file's bytes as text: gzip, files that are no text, and the encoding.

Owns decoding UTF-8 and UTF-16 with or without a byte-order mark, choosing between CP949 (Korean) and CP1252
(Western European), and naming a file of another kind with what reads it. Does not own the text's meaning
(`core/tables.py`).

Almost any bytes decode as CP949 or CP1252, so that a file decodes proves nothing. In CP949 a syllable has two
bytes, which are a sign or an uppercase letter and something else in CP1252: `가구` is read as four signs. In
CP1252 a word has an accent here and there between ASCII letters, and two such bytes are a rare syllable in
CP949: `Äpfel` is `캻fel`. Where only one reading looks like words, it is the one; where both do, or none, the
user is asked.
"""

from __future__ import annotations

import gzip
import re
import zlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

from pipeline.core.errors import DataError
from pipeline.core.language import _

UTF8 = "utf-8-sig"
KOREAN, WESTERN = "cp949", "cp1252"
# Lines with characters outside ASCII that are looked at.
LOOKED_AT = 2000
# Signs that stand alone in Western text; others are parts of a multi-byte character.
SIGNS = frozenset("‘’“”–—…•°±µ²³½¼¾€£§©®™«»·º\u00aa¿¡×\u00a0")
# Shares of the Korean reading's characters: ideographs are rare in Korean tables, and syllables outside
# KS X 1001 (2,350 common ones) are very rare.
MOST_IDEOGRAPHS, MOST_RARE = 0.1, 1 / 3

ZERO_BYTES = ("utf-16-le", "utf-16-be")
ENCODING_REMEDY = _("set competition.encoding (make new: ENCODING=…), or save the file as UTF-8")
CSV_REMEDY = _("a table must be a CSV file")
NOT_TEXT, NOT_TEXT_IN = (
    _("{name}: it is not text (it contains zero bytes)"),
    _("{name}: it is not text in {encoding}"),
)
TWO_ENCODINGS = _("{name}: it is not UTF-8, and both {one} and {other} give words")
NO_ENCODING = _("{name}: it is not text in UTF-8 or UTF-16, and neither {one} nor {other} gives words")
OTHER_ENCODINGS = _("{remedy}; others are e.g. gb18030, shift_jis, cp1251")

# How a file of another kind begins, its name, and what reads it.
MAGIC = (
    (
        b"\x89HDF\r\n\x1a\n",
        _("an HDF5 file"),
        _("the package h5py reads it: write its images as files and a CSV"),
    ),
    (b"PAR1", _("a Parquet file"), _("pandas.read_parquet reads it: write it with to_csv(index=False)")),
    (b"ARROW1", _("a Feather file"), _("pandas.read_feather reads it: write it with to_csv(index=False)")),
    (b"\x93NUMPY", _("a NumPy array"), _("numpy.load reads it: write its images as files and a CSV")),
    (
        b"\0\0\x08\x03",
        _("an IDX file (MNIST)"),
        _("numpy.frombuffer reads it after 16 bytes: write its images as files"),
    ),
    (
        b"\0\0\x08\x01",
        _("an IDX file (MNIST)"),
        _("numpy.frombuffer reads it after 8 bytes: write its labels as a CSV"),
    ),
    (b"SQLite format 3", _("an SQLite database"), _("export the table as CSV")),
    (
        b"\xd0\xcf\x11\xe0",
        _("an Excel workbook (.xls)"),
        _("open it in a spreadsheet program, save it as CSV UTF-8"),
    ),
    (b"%PDF", _("a PDF document"), CSV_REMEDY),
    (b"\xff\xd8\xff", _("a JPEG image"), CSV_REMEDY),
    (b"\x89PNG", _("a PNG image"), CSV_REMEDY),
    (b"BZh", _("an archive (bzip2)"), _("unpack it")),
    (b"\xfd7zXZ", _("an archive (xz)"), _("unpack it")),
    (b"7z\xbc\xaf", _("an archive (7z)"), _("unpack it")),
    (b"Rar!", _("an archive (rar)"), _("unpack it")),
    (b"\x28\xb5\x2f\xfd", _("an archive (zstd)"), _("unpack it")),
)
ZIPPED = (
    (b"xl/", _("an Excel workbook (.xlsx)"), _("open it in a spreadsheet program, and save it as CSV UTF-8")),
    (
        b"content.xml",
        _("a spreadsheet (.ods)"),
        _("open it in a spreadsheet program, and save it as CSV UTF-8"),
    ),
    (b".npy", _("NumPy arrays (.npz)"), _("numpy.load reads it: write its images as files and a CSV")),
)
ZIP = (_("an archive (zip)"), _("unpack it, and give the file that is in it"))
DICOM = (_("a DICOM image"), _("give such files the extension .dcm: they are then read as images"))
COCO = (
    _("JSON in COCO's form (images and annotations)"),
    _("the package pycocotools reads it: write a CSV with a row per image: id, path and label"),
)
JSON = (
    _("JSON"),
    _("pandas.read_json reads it: write a CSV with a row per image; pixels in it must become image files"),
)
HTML = (
    _("a web page"),
    _("the download gave a page instead of the file, perhaps because the host asks you to log in"),
)
PICKLE = (
    _("a Python pickle"),
    _("load it only if you trust its source, and write its images as files and a CSV"),
)
XML = (_("XML"), _("write a CSV with a row per image: id, path and label"))


def read_text(path: Path, name: str, encoding: str | None = None) -> tuple[str, str]:
    """(text with plain newlines, encoding) of a file.

    Args:
        path: the file; gzip is unpacked.
        name: its name in messages.
        encoding: the encoding of files that are not UTF-8; None: UTF-16, CP949 or CP1252 where only one fits.

    Raises:
        DataError: there is no such file, it is no text, or its encoding is unclear.
    """
    data = _unpacked(_bytes(path), name)
    _refuse_other_kinds(data, name)
    text, used = _decoded(data, name, encoding)
    return text.replace("\r\n", "\n").replace("\r", "\n"), used


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise DataError(_("{path}: there is no such file").format(path=path)) from None
    except IsADirectoryError:
        raise DataError(_("{path}: this is a folder, not a CSV file").format(path=path)) from None
    except OSError as error:
        raise DataError(
            _("{path}: cannot be read: {strerror}").format(path=path, strerror=error.strerror)
        ) from error


def _unpacked(data: bytes, name: str) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        return gzip.decompress(data)
    except (OSError, EOFError, zlib.error) as error:
        headline = _("{name}: the gzip file is damaged: {error}").format(name=name, error=error)
        raise DataError(headline, remedy=_("download or pack it again")) from error


def other_kind(data: bytes) -> tuple[str, str] | None:
    """(what it is, what reads it) of the beginning of a file that is no table; None: it may be text."""
    if data[128:132] == b"DICM":
        return DICOM
    if data.startswith(b"PK\x03\x04"):
        return next(((what, remedy) for part, what, remedy in ZIPPED if part in data), ZIP)
    for start, what, remedy in MAGIC:
        if data.startswith(start):
            return what, remedy
    head = data[:4096].removeprefix(b"\xef\xbb\xbf").lstrip()
    if re.match(rb'(?:\{\s*"|\[\s*[\[{"\d-])', head):
        keys = (b'"images"', b'"annotations"')
        return COCO if all(key in data for key in keys) else JSON
    if re.match(rb"(?i)<!doctype html|<html", head):
        return HTML
    if re.match(rb"\x80[\x02-\x05]", data):
        return PICKLE
    return XML if re.match(rb"<\?xml|<annotation", head) else None


def _refuse_other_kinds(data: bytes, name: str) -> None:
    found = other_kind(data)
    if found is not None:
        raise DataError(
            _("{name}: this is {found}, not a CSV table").format(name=name, found=found[0]), remedy=found[1]
        )


def _decoded(data: bytes, name: str, encoding: str | None) -> tuple[str, str]:
    marked = _marked(data)
    if marked is not None:
        text = _try(data, marked)
    elif (text := _try(data, UTF8)) is not None and "\0" not in text:
        return text, UTF8
    elif encoding is not None:
        text, marked = _try(data, encoding), encoding
    elif b"\0" in data:
        marked = _utf16(data)
        text = _try(data, marked) if marked else None
    else:
        return _legacy(data, name)
    wrong = text is None or "\0" in text or (marked in ZERO_BYTES and "\n" not in text)
    if text is None or marked is None or wrong:
        told = NOT_TEXT_IN.format(name=name, encoding=marked) if marked else NOT_TEXT.format(name=name)
        raise DataError(told, remedy=ENCODING_REMEDY)
    return text, marked


def _marked(data: bytes) -> str | None:
    """The encoding of a byte-order mark other than that of UTF-8."""
    if data.startswith((b"\xff\xfe\0\0", b"\0\0\xfe\xff")):
        return "utf-32"
    return "utf-16" if data.startswith((b"\xff\xfe", b"\xfe\xff")) else None


def _utf16(data: bytes) -> str | None:
    """The byte order of UTF-16 without a mark, by where the zero bytes of ASCII characters are."""
    even, odd = data[::2].count(0), data[1::2].count(0)
    if len(data) % 2 or even == odd:
        return None
    return "utf-16-le" if odd > even else "utf-16-be"


def _try(data: bytes, encoding: str) -> str | None:
    try:
        return data.decode(encoding)
    except (UnicodeDecodeError, LookupError):
        return None


def _legacy(data: bytes, name: str) -> tuple[str, str]:
    """The text in the one older encoding in which it looks like words."""
    korean, western = _try(data, KOREAN), _try(data, WESTERN)
    fits = []
    if korean is not None and like_korean(korean):
        fits.append((korean, KOREAN))
    if western is not None and like_western(western):
        fits.append((western, WESTERN))
    if len(fits) == 1:
        return fits[0]
    readings = fits or [(text, e) for text, e in ((korean, KOREAN), (western, WESTERN)) if text is not None]
    faults = [
        _("in {encoding} its first such line is {line!r}").format(
            encoding=encoding, line=next(_odd_lines(text))
        )
        for text, encoding in readings
    ]
    told = (TWO_ENCODINGS if fits else NO_ENCODING).format(name=name, one=KOREAN, other=WESTERN)
    raise DataError(told, faults, OTHER_ENCODINGS.format(remedy=ENCODING_REMEDY))


def _odd_lines(text: str) -> Iterator[str]:
    """Lines with characters outside ASCII."""
    return (line.strip() for line in text.splitlines() if not line.isascii())


def like_korean(text: str) -> bool:
    """Whether text that was decoded as CP949 consists of common syllables."""
    odd = [c for line in islice(_odd_lines(text), LOOKED_AT) for c in line if not c.isascii()]
    syllables = [c for c in odd if "가" <= c <= "힣"]
    ideographs = sum("\u4e00" <= c <= "\u9fff" or "\uf900" <= c <= "\ufaff" for c in odd)
    rare = sum(c.encode(KOREAN)[1] < 0xA1 or c.encode(KOREAN)[0] < 0xB0 for c in syllables)
    return (
        2 * len(syllables) >= len(odd)
        and ideographs <= MOST_IDEOGRAPHS * len(odd)
        and rare <= MOST_RARE * len(syllables)
    )


def like_western(text: str) -> bool:
    """Whether text that was decoded as CP1252 has its accents where words have them."""
    for line in islice(_odd_lines(text), LOOKED_AT):
        for run in re.findall(r"[^\x00-\x7f]+", line):
            signs = [c for c in run if not c.isalpha()]
            if any(c not in SIGNS for c in signs) or (signs and len(run) > 2):
                return False
            if len(run) == 2 and len(signs) == 2:
                return False
        if not all(_western_word(word) for word in re.findall(r"[^\W\d_]+", line) if not word.isascii()):
            return False
    return True


def _western_word(word: str) -> bool:
    """Whether a word has ASCII letters beside its accents, and is lowercase, uppercase or capitalised."""
    accents = [c for c in word if not c.isascii()]
    if len(word) > 1 and len(accents) > (len(word) + 1) // 2:
        return False
    return word.islower() or word.isupper() or word[1:].islower()
