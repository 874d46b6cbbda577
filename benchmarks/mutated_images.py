"""Damaged image files of every format: decoding ends, and each is a picture or "does not decode".

    python -m benchmarks.mutated_images                       2,400 files, about a minute
    python -m benchmarks.mutated_images --files 24000 --seed 7
    python -m benchmarks.mutated_images --from folder         mutates the files of a folder instead

Each file is one of a small picture in every format that Pillow writes here, with metadata, then changed:
single bytes, a run of bytes, numbers at their limits, a part cut out, doubled or moved, or the end lost.
Everything is decoded as a competition's images are. Prints what did not decode by exception, and the slowest
file; a crash of the process, an error out of decoding, or a file that takes longer than `SLOW_SECONDS` is a
failure.
"""

from __future__ import annotations

import argparse
import collections
import faulthandler
import io
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from pipeline.data import decode, images
from pipeline.data.decode import Decoding
from pipeline.data.depth import Ranges

# Format -> mode, suffix; every one that this Pillow writes is used.
FORMATS = {
    "PNG": ("RGBA", "png"),
    "JPEG": ("RGB", "jpg"),
    "GIF": ("P", "gif"),
    "WEBP": ("RGB", "webp"),
    "AVIF": ("RGB", "avif"),
    "TIFF": ("RGB", "tif"),
    "BMP": ("RGB", "bmp"),
    "ICO": ("RGBA", "ico"),
    "ICNS": ("RGBA", "icns"),
    "DDS": ("RGBA", "dds"),
    "JPEG2000": ("RGB", "jp2"),
    "TGA": ("RGB", "tga"),
    "PPM": ("RGB", "ppm"),
    "SGI": ("RGB", "sgi"),
    "PCX": ("RGB", "pcx"),
    "MPO": ("RGB", "mpo"),
    "QOI": ("RGB", "qoi"),
}
EXTREME = (b"\0\0\0\0", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x7f\xff\xff\xff", b"\0\0\0\x80")
SLOW_SECONDS = 30.0
# Small: a file that declares more is refused, as a competition's would be at its own limit.
MAX_PIXELS = 20e6


@dataclass(frozen=True)
class Tried:
    """What became of the files.

    Args:
        decoded: how many became pictures.
        refused: name of the exception -> how many.
        slowest: seconds and name of the slowest file.
    """

    decoded: int
    refused: dict[str, int]
    slowest: tuple[float, str]

    @property
    def files(self) -> int:
        """All files."""
        return self.decoded + sum(self.refused.values())


def originals() -> dict[str, bytes]:
    """Name -> bytes of a small picture in every format."""
    y, x = np.mgrid[0:48, 0:64]
    rgb = np.stack([x * 4, y * 5, (x * y) % 256, np.full_like(x, 200)], 2).astype(np.uint8)
    exif = Image.Exif()
    exif[0x0112], exif[0x010F], exif[0x011A] = 6, "maker", 72.0
    found = {}
    for kind, (mode, suffix) in FORMATS.items():
        image = Image.fromarray(rgb).convert("RGB").convert(mode) if mode != "RGBA" else Image.fromarray(rgb)
        image = image.resize((64, 64)) if kind in ("ICO", "ICNS") else image
        with_exif = {"exif": exif} if kind in ("PNG", "JPEG", "WEBP", "AVIF", "TIFF") else {}
        buffer = io.BytesIO()
        try:
            image.save(buffer, kind, **with_exif)
        except (OSError, KeyError, ValueError):
            continue  # this Pillow does not write it
        found[f"{kind.lower()}.{suffix}"] = buffer.getvalue()
    for name, compression in (("lzw", "tiff_lzw"), ("deflate", "tiff_adobe_deflate"), ("jpeg", "jpeg")):
        buffer = io.BytesIO()
        Image.fromarray(rgb[..., :3]).save(buffer, "TIFF", compression=compression)
        found[f"{name}.tif"] = buffer.getvalue()
    grey = rgb[..., 0].astype(np.float32)
    for name, values in (
        ("float", grey),
        ("sixteen", (grey * 16).astype(np.uint16)),
        ("int", grey.astype(np.int32)),
    ):
        buffer = io.BytesIO()
        Image.fromarray(values).save(buffer, "TIFF")
        found[f"{name}.tif"] = buffer.getvalue()
    return found


def mutated(raw: bytes, rng: np.random.Generator) -> bytes:
    """The bytes with one to four changes."""
    changed = bytearray(raw)
    for _ in range(int(rng.integers(1, 5))):
        # Most of what decoders stumble over stands near the beginning.
        size = len(changed)
        at = int(rng.integers(0, min(size, 400) if rng.random() < 0.6 else size))
        other = int(rng.integers(0, size))
        length = int(rng.integers(1, 64))
        match int(rng.integers(0, 8)):
            case 0 | 1:
                changed[at] = int(rng.integers(0, 256))
            case 2:
                changed[at] ^= 1 << int(rng.integers(0, 8))
            case 3:
                changed[at : at + 4] = EXTREME[int(rng.integers(0, len(EXTREME)))]
            case 4:
                changed[at : at + length] = rng.bytes(length)
            case 5:
                del changed[at : at + length]
            case 6:
                changed[at:at] = changed[other : other + length]
            case _:
                del changed[max(other, 8) :]
        if len(changed) < 8:
            break
    return bytes(changed)


def tried(files: int, seed: int, sources: dict[str, bytes] | None = None, keep: Path | None = None) -> Tried:
    """Decode this many mutated files; a file that brings the process down stays in `keep`.

    Raises:
        Exception: decoding raised what is not "does not decode".
    """
    sources = sources or originals()
    rng = np.random.default_rng(seed)
    how = Decoding(64, MAX_PIXELS, ranges=Ranges(given=(0.0, 255.0)))
    refused: collections.Counter[str] = collections.Counter()
    decoded, slowest = 0, (0.0, "")
    names = sorted(sources)
    with tempfile.TemporaryDirectory() as folder, decode.pillow():
        for number in range(files):
            name = names[number % len(names)]
            path = (keep or Path(folder)) / f"now-{name}"
            path.write_bytes(mutated(sources[name], rng))
            images.measured([str(path)], how)
            begin = time.perf_counter()
            try:
                _, pixels, _ = decode.read(name, str(path), how)
                assert pixels.dtype == np.uint8 and pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.size
                decoded += 1
            except decode.UNDECODABLE as error:
                assert not isinstance(error, AssertionError | NameError), f"our own mistake on {name}"
                assert decode.reason(error), "every refusal says why"
                refused[type(error).__name__] += 1
            slowest = max(slowest, (time.perf_counter() - begin, f"{number} {name}"))
    return Tried(decoded, dict(refused.most_common()), slowest)


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--files", type=int, default=2400)
    options.add_argument("--seed", type=int, default=0)
    options.add_argument("--from", dest="folder", type=Path, help="a folder of images to mutate")
    given = options.parse_args()
    faulthandler.enable()
    sources = None
    if given.folder:
        sources = {path.name: path.read_bytes() for path in sorted(given.folder.iterdir()) if path.is_file()}
    result = tried(given.files, given.seed, sources, Path.cwd())
    print(f"{result.files} files: {result.decoded} decoded; refused: {result.refused}")
    print(f"slowest: {result.slowest[0]:.2f} s, file {result.slowest[1]}")
    for left in Path.cwd().glob("now-*"):
        left.unlink()
    sys.exit(result.slowest[0] > SLOW_SECONDS)


if __name__ == "__main__":
    main()
