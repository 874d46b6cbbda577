"""Does it pay to prepare images larger than a network sees (`images.store_px`)? One paired comparison.

    python benchmarks/store_px.py photos.zip --out cells        about 15 minutes of one core
    python benchmarks/store_px.py photos.zip --out cells --images 60 --splits 2 --epochs 1     seconds

`photos.zip`, or a folder, has a folder of photos for each class. Trains lite0 from its packaged weights on a
part of each split, once for each arm, on the CPU with one thread: the policy `light` (no crop) and the policy
`crops` on images of the network's size, and `crops` on larger ones. Cropping larger images costs a little
more time; the arms on small images get that much more training (`--extra-epochs` where it makes a whole
epoch). All arms see the same rows in the same order from the same seeds.

Prints macro-F1 on the pooled validation parts, with and without the views hflip and scale(1.25), the seconds
of processor that training took, and paired intervals by a bootstrap over photos. Each run is kept as a cell
in `--out`; a second call goes on from there.
"""

import argparse
import json
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from sklearn.model_selection import StratifiedKFold

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core.metrics import get
from pipeline.core.samples import Attribute, LabelSpace, Samples, TrainRows, strings
from pipeline.core.targets import Target
from pipeline.data.decode import scaled
from pipeline.data.images import PreparedImages
from pipeline.nets.forward import Pass, run
from pipeline.nets.model import restore, to_device
from pipeline.nets.views import parse
from pipeline.settings.load import load
from pipeline.train.job import FoldJob
from pipeline.train.loop import fit

ARMS = {"light": ("light", False), "crops": ("crops", False), "crops, stored": ("crops", True)}
VIEWS = ("identity", "hflip", "scale(1.25)")
DRAWS, SEED = 2000, 0


@dataclass(frozen=True)
class Photos:
    """All photos at one size, (N, side, side, 3), with their class."""

    x_NHWC: np.ndarray
    y_N: np.ndarray
    classes: tuple[str, ...]


def read(place: Path, side: int) -> Photos:
    """The photos of a folder or an archive, squashed to a square of this side."""
    if place.is_dir():
        found = {path.relative_to(place).as_posix(): path.read_bytes for path in sorted(place.rglob("*"))}
    else:
        archive = zipfile.ZipFile(place)
        found = {name: lambda name=name: archive.read(name) for name in sorted(archive.namelist())}
    pictures = {name: get for name, get in found.items() if name.lower().endswith((".jpg", ".jpeg", ".png"))}
    labels = [Path(name).parent.name for name in pictures]
    classes = tuple(sorted(set(labels)))
    images = []
    for get_bytes in pictures.values():
        pixels = cv2.imdecode(np.frombuffer(get_bytes(), np.uint8), cv2.IMREAD_COLOR)
        assert pixels is not None, "a photo that OpenCV cannot read"
        images.append(scaled(np.ascontiguousarray(pixels[:, :, ::-1]), side, side))
    return Photos(np.stack(images), np.array([classes.index(name) for name in labels]), classes)


def cell(photos: Photos, arm: str, split: int, options: argparse.Namespace) -> dict[str, object]:
    """One run: the truth and the predictions of a validation part, and what it took."""
    policy, stored = ARMS[arm]
    words = [
        "competition=digits",
        "experiment=lite0",
        f"images.size={options.size}",
        f"augment.policy={policy}",
    ]
    epochs = options.epochs + (0 if stored else options.extra_epochs)
    words += [f"train.epochs={epochs}", f"images.cache_px={options.store}", "train.precision=fp32"]
    config = load(words).config
    ids = strings([f"p{n:05d}" for n in range(len(photos.y_N))])
    size = (options.size, options.size)
    x_NHWC = photos.x_NHWC
    if not stored:
        x_NHWC = np.stack([scaled(x, *size) for x in x_NHWC])
    images = PreparedImages(ids, x_NHWC, hw=size)
    space = LabelSpace.product([Attribute("kind", photos.classes)])
    samples = Samples(ids, ids, ids, space, photos.y_N.astype(np.int64), "train")
    parts = list(StratifiedKFold(options.splits, shuffle=True, random_state=SEED).split(x_NHWC, photos.y_N))
    train_N, valid_N = parts[split]
    train_N = np.sort(np.random.default_rng([SEED, split]).permutation(train_N)[: options.images])
    part = samples.take(ids[train_N])
    job = FoldJob(
        fold=split,
        model=config.model,
        loss=config.loss,
        augment=config.augment,
        train=config.train,
        train_samples=part,
        valid_samples=samples.take(ids[valid_N]),
        images=images,
        rows=lambda epoch: TrainRows.of(np.arange(len(part))),
        metric=get("macro_f1").score,
        threads=1,
    )
    began = time.process_time()
    with tempfile.TemporaryDirectory() as work:
        _, state = fit(job, Path(work))
    seconds = time.process_time() - began
    network = to_device(restore(config.model, space.n_classes, state, size, space), "cpu").eval()
    p_VNC = [
        Target.of(space).from_logits(run(network, images, ids[valid_N], parse(view), Pass()))
        for view in VIEWS
    ]
    return {
        "arm": arm,
        "split": split,
        "seconds": seconds,
        "epochs": epochs,
        "rows": valid_N.tolist(),
        "p": np.round(np.stack(p_VNC), 5).tolist(),
    }


def compared(y_N: np.ndarray, one_NC: np.ndarray, other_NC: np.ndarray) -> str:
    """The difference of macro-F1 with its 95 % interval over photos."""
    score, draw = get("macro_f1").score, np.random.default_rng(SEED)
    differences = []
    for _ in range(DRAWS):
        at = draw.integers(0, len(y_N), len(y_N))
        differences.append(score(y_N[at], one_NC[at]) - score(y_N[at], other_NC[at]))
    low, high = np.percentile(differences, [2.5, 97.5])
    return f"{score(y_N, one_NC) - score(y_N, other_NC):+.4f} [{low:+.4f}, {high:+.4f}]"


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("data", type=Path, help="an archive or a folder with a folder for each class")
    words.add_argument("--out", type=Path, required=True, help="folder of the cells")
    words.add_argument("--size", type=int, default=64)
    words.add_argument("--store", type=int, default=128)
    words.add_argument("--epochs", type=int, default=6)
    words.add_argument(
        "--extra-epochs", type=int, default=0, help="for the arms on images of the network's size"
    )
    words.add_argument("--images", type=int, default=1000, help="of each training part")
    words.add_argument("--splits", type=int, default=5)
    options = words.parse_args()
    torch.set_num_threads(1)
    options.out.mkdir(parents=True, exist_ok=True)
    photos = read(options.data, options.store)
    cells: dict[tuple[str, int], dict[str, object]] = {}
    for split in range(options.splits):
        for arm in ARMS:
            path = options.out / f"{arm.replace(', ', '-')}-{split}.json"
            if not path.is_file():
                path.write_text(json.dumps(cell(photos, arm, split, options)), encoding="utf-8")
            cells[arm, split] = json.loads(path.read_text(encoding="utf-8"))
            print(f"split {split}, {arm}: {cells[arm, split]['seconds']:.0f} s of processor", flush=True)
    report(photos, cells, options.splits)


def report(photos: Photos, cells: dict[tuple[str, int], dict[str, object]], splits: int) -> None:
    """The pooled scores, and the stored arm against the two others."""
    row_N = np.concatenate([cells["light", split]["rows"] for split in range(splits)])
    y_N, pooled = photos.y_N[row_N], {}
    for arm in ARMS:
        of_arm = [cells[arm, split] for split in range(splits)]
        p_VNC = np.concatenate([np.array(one["p"]) for one in of_arm], axis=1)
        pooled[arm] = {
            "identity": p_VNC[0],
            "identity, hflip": p_VNC[:2].mean(0),
            "three views": p_VNC.mean(0),
        }
        seconds = sum(float(str(one["seconds"])) for one in of_arm)
        scores = "   ".join(f"{get('macro_f1').score(y_N, p):.4f}" for p in pooled[arm].values())
        print(f"{arm:<16} {scores}   {seconds:5.0f} s of processor, {of_arm[0]['epochs']} epochs")
    for other in ("light", "crops"):
        for name in pooled[other]:
            difference = compared(y_N, pooled["crops, stored"][name], pooled[other][name])
            print(f"crops, stored against {other:<6} {name:<16} {difference}")


if __name__ == "__main__":
    main()
