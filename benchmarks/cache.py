"""Decode once against decode each epoch: what the image cache saves, in one run.

    python benchmarks/cache.py                    200 photos, 5 epochs, about 20 s
    python benchmarks/cache.py --photos 1000 --epochs 10

Makes JPEG photos of 1,024 × 768 px out of the two photographs that scikit-learn ships, then reads every image
once an epoch at 96 px: from the files, and from the memmaps. Both ways use the same loop with a thread pool
of all cores. Prints seconds and their ratio; the pixels of both ways are compared.
"""

import argparse
import os
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

from pipeline.core.samples import Attribute, LabelSpace, Samples
from pipeline.data import decode, images
from pipeline.data.decode import Decoding, resize

SIZE = (96, 96)
HOW = Decoding(cache_px=512)


def make_photos(folder: Path, count: int) -> Samples:
    rng = np.random.default_rng(0)
    sources = [Image.fromarray(image) for image in load_sample_images().images]
    paths = []
    for n in range(count):
        source = sources[n % len(sources)]
        left, top = int(rng.integers(0, source.width // 3)), int(rng.integers(0, source.height // 3))
        part = source.crop((left, top, left + source.width * 2 // 3, top + source.height * 2 // 3))
        paths.append(folder / f"{n:05}.jpg")
        part.resize((1024, 768)).save(paths[-1], quality=90)
    ids = np.array([p.stem for p in paths])
    space = LabelSpace.product([Attribute("kind", ("a", "b"))])
    return Samples(ids, np.array([str(p) for p in paths]), ids, space, np.zeros(count, np.int64), "train")


def epoch_from_files(photos: Samples) -> float:
    def one(path: str) -> float:
        image = decode.pixels_of(Path(path).read_bytes(), HOW)[1]
        return float(resize(image, SIZE, "squash").mean())

    with decode.pillow(), ThreadPoolExecutor(os.cpu_count()) as pool:
        return float(np.mean(list(pool.map(one, photos.paths_N.tolist()))))


def epoch_from_cache(prepared: images.PreparedImages) -> float:
    def one(row: int) -> float:
        return float(np.asarray(prepared.x_NHWC[row]).mean())

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        return float(np.mean(list(pool.map(one, range(len(prepared))))))


def build_cache(photos: Samples, folder: Path) -> images.PreparedImages:
    images.build_decoded([photos], folder, HOW)
    decoded = images.DecodedImages(folder)

    def look(name: str, image: images.Pixels) -> images.Pixels:
        return resize(image, SIZE, "squash")

    images.build_prepared(decoded, photos.ids_N, look, SIZE, folder / "prepared.npy")
    return images.PreparedImages.open(folder / "prepared.npy")


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--photos", type=int, default=200)
    words.add_argument("--epochs", type=int, default=5)
    options = words.parse_args()
    cv2.setNumThreads(0)  # as in the cache's own threads: OpenCV's would fight with ours over the cores
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        photos = make_photos(folder, options.photos)
        epoch_from_files(photos)  # the files come from the page cache in both ways
        started = time.perf_counter()
        means = [epoch_from_files(photos) for _ in range(options.epochs)]
        each = time.perf_counter() - started
        started = time.perf_counter()
        prepared = build_cache(photos, folder)
        building = time.perf_counter() - started
        means += [epoch_from_cache(prepared) for _ in range(options.epochs)]
        once = time.perf_counter() - started
    assert len(set(means)) == 1, f"the two ways give other pixels: {sorted(set(means))}"
    per_file, per_row = each / options.epochs, (once - building) / options.epochs
    print(
        f"{options.photos} photos of 1024 × 768 px, {options.epochs} epochs at 96 px, {os.cpu_count()} cores"
    )
    print(f"decode each epoch   {each:7.2f} s   {per_file:6.3f} s an epoch")
    print(f"decode once         {once:7.2f} s   {per_row:6.3f} s an epoch after {building:.2f} s of building")
    print(f"ratio               {each / once:7.2f}     {per_file / per_row:6.1f} an epoch once it is built")


if __name__ == "__main__":
    main()
