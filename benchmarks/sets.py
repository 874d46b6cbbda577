"""Open sets for benchmarks: demos and archives of photos as tables, variants of them, and cut to a size.

Owns the tables, their variants, what is written for the pipeline to read, and the settings that name it. Does
not own what is measured on them.

A set is called `NAME`, `NAME-tail` or `NAME-grouped`; NAME is a demo, or an archive with a folder for each
class. `tail`: the most frequent class keeps its groups and the rarest a tenth of them, the others in between,
as in a competition with rare classes. `grouped`: each photo becomes three crops of itself, one group, as in a
competition with several photos of a person.
"""

import contextlib
import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

PICTURES = (".jpg", ".jpeg", ".png")
COLUMNS = ("id", "path", "label", "group")
# The rarest class keeps this share of its groups; fewer than so many groups are left to none.
RAREST, FEWEST = 0.1, 8
CROPS, CROP = 3, 0.75
VARIANTS = ("tail", "grouped")
N_TEST = 20
LARGEST_PX = 256


@dataclass(frozen=True)
class Set:
    """A set on disk.

    Args:
        name: of the competition.
        base: the demo whose settings it has, such as changes of an image that its classes forbid.
        folder: with train.csv, test.csv, sample_submission.csv and images/.
        forbids: changes after which an image may be of another class.
    """

    name: str
    base: str
    folder: Path
    forbids: tuple[str, ...] = ()

    @property
    def words(self) -> list[str]:
        """The settings that choose it."""
        labels = sorted(set(pd.read_csv(self.folder / "train.csv", dtype=str)["label"]))
        listed = ", ".join(json.dumps(label) for label in labels)
        forbids = f", forbids: [{', '.join(self.forbids)}]" if self.forbids else ""
        return [
            *(f"competition={self.base}", "competition.demo=null", f"competition.name={self.name}"),
            *(f"competition.root={self.folder.resolve()}", "competition.group_column=group"),
            f"competition.attributes=[{{name: label, column: label, values: [{listed}]{forbids}}}]",
            # Where a demo keeps small files, recipes still may enlarge them.
            f"images.cache_px={LARGEST_PX}",
        ]


def table_of_demo(name: str, out: Path) -> pd.DataFrame:
    """The labelled images of a demo: id, path, label, group."""
    from pipeline.data import load
    from pipeline.engine.need import Need
    from pipeline.settings.load import load as settings_of
    from pipeline.stages import open_session

    words = [f"competition={name}", f"runtime.home={out.resolve()}", "runtime.mlflow=false"]
    session = open_session(settings_of(words))
    with contextlib.redirect_stdout(io.StringIO()):  # a benchmark prints its figures
        data = session.get(Need("train_data", session.settings))
    samples = load.samples(data, "train", session.home)
    labels = [samples.space.classes[label] for label in samples.labels]
    columns = {"id": samples.ids_N, "path": samples.paths_N, "label": labels, "group": samples.groups_N}
    return pd.DataFrame({key: [str(value) for value in values] for key, values in columns.items()})


def table_of_photos(name: str, archive: Path, out: Path, limit: int | None = None) -> pd.DataFrame:
    """The photos of an archive, each a group of its own; at most so many of a class."""
    folder = out / "sets" / name
    if not (folder / "train.csv").is_file():  # it is written last
        unpacked(archive, folder, LARGEST_PX)
    table = pd.read_csv(folder / "train.csv", dtype=str)
    if limit is not None:
        table = table.groupby("label").head(limit)
    table["path"] = [str((folder / "images" / path).resolve()) for path in table["path"]]
    return table.assign(group=table["id"]).reset_index(drop=True)


def unpacked(archive: Path, folder: Path, side: int) -> None:
    """A folder for each class of an archive as images and train.csv: id, path, label."""
    import cv2

    (folder / "images").mkdir(parents=True, exist_ok=True)
    rows = ["id,path,label"]
    with zipfile.ZipFile(archive) as file:
        names = sorted(name for name in file.namelist() if name.lower().endswith(PICTURES))
        for number, name in enumerate(names):
            pixels = cv2.imdecode(np.frombuffer(file.read(name), np.uint8), cv2.IMREAD_COLOR)
            assert pixels is not None, f"{archive}: {name} is no picture"
            scale = min(side / max(pixels.shape[:2]), 1)
            small = cv2.resize(pixels, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
            cv2.imwrite(str(folder / "images" / f"{number:05d}.png"), small)
            rows.append(f"{number:05d},{number:05d}.png,{Path(name).parent.name}")
    (folder / "train.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def tail(table: pd.DataFrame, seed: int = 0) -> pd.DataFrame:
    """The same with classes of very different size: groups of the rarer classes are left out.

    A group goes by the class of its first row.
    """
    first = table.groupby("group", sort=False)["label"].first()
    counts = first.value_counts()
    draw, kept = np.random.default_rng(seed), []
    for rank, label in enumerate(counts.index):
        share = RAREST ** (rank / max(len(counts) - 1, 1))
        groups = np.sort(first.index[first == label].to_numpy())
        n = min(max(round(share * int(counts.iloc[0])), FEWEST), len(groups))
        kept += draw.permutation(groups)[:n].tolist()
    return table[table["group"].isin(kept)].reset_index(drop=True)


def grouped(table: pd.DataFrame, out: Path, seed: int = 0) -> pd.DataFrame:
    """Three crops of each image, which are one group; their files are written to `out`."""
    import cv2

    out.mkdir(parents=True, exist_ok=True)
    draw, rows = np.random.default_rng(seed), []
    for row in table.to_dict("records"):
        pixels = cv2.imread(str(row["path"]), cv2.IMREAD_COLOR)
        assert pixels is not None, f"{row['path']} is no picture"
        sides = [max(round(CROP * side), 1) for side in pixels.shape[:2]]
        for number in range(CROPS):
            at = [
                int(draw.integers(0, whole - side + 1))
                for whole, side in zip(pixels.shape, sides, strict=False)
            ]
            path = out / f"{row['id']}-{number}.png"
            cv2.imwrite(str(path), pixels[at[0] : at[0] + sides[0], at[1] : at[1] + sides[1]])
            rows.append((f"{row['id']}-{number}", str(path.resolve()), row["label"], row["group"]))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def cut(table: pd.DataFrame, images: int, seed: int = 0) -> pd.DataFrame:
    """Whole groups, drawn at random, until there are so many images; labels of one group are left out."""
    order = np.random.default_rng(seed).permutation(np.sort(table["group"].unique()))
    sizes = table.groupby("group").size().loc[order].cumsum()
    kept = table[table["group"].isin(order[: max(int((sizes <= images).sum()), 2)])]
    return kept[kept.groupby("label")["group"].transform("nunique") > 1].reset_index(drop=True)


def written(name: str, base: str, table: pd.DataFrame, folder: Path) -> Set:
    """The files of a set, if they are missing: its rows are training images, a few of them the test set, too.

    Nothing scores the answers of the test set; the pipeline needs one.
    """
    forbids = ("hflip", "vflip") if base == "digits" else ()
    made = Set(name, base, folder, forbids)
    if not (folder / "train.csv").is_file():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        # Links, so that a variant costs no copy of its pictures.
        files = [f"{number:06d}{Path(path).suffix}" for number, path in enumerate(table["path"])]
        for path, own in zip(table["path"], files, strict=True):
            (folder / "images" / own).unlink(missing_ok=True)
            (folder / "images" / own).hardlink_to(path)
        own = table.assign(path=files)
        test = own.head(N_TEST).assign(id=[f"test-{one}" for one in own["id"].head(N_TEST)])
        test[["id", "path"]].to_csv(folder / "test.csv", index=False)
        sample = test[["id"]].assign(label=sorted(set(own["label"]))[0])
        sample.to_csv(folder / "sample_submission.csv", index=False)
        own.to_csv(folder / "train.csv", index=False)
    return made


def made(name: str, photos: Mapping[str, Path], out: Path, images: int | None, seed: int = 0) -> Set:
    """A set or a variant by its name, cut to so many images, below `out`."""
    whole, variant = next(
        ((name.removesuffix(f"-{v}"), v) for v in VARIANTS if name.endswith(f"-{v}")), (name, "")
    )
    base = "emoji" if whole in photos else whole
    folder = out / "tables" / (name if images is None else f"{name}-{images}")
    if (folder / "train.csv").is_file():
        return written(name, base, pd.DataFrame(), folder)
    table = (
        table_of_photos(whole, photos[whole], out) if whole in photos else table_of_demo(whole, out / "demos")
    )
    if variant == "tail":
        table = tail(table, seed)
    if images is not None:
        table = cut(table, images // CROPS if variant == "grouped" else images, seed)
    if variant == "grouped":
        table = grouped(table, folder.with_name(f"{folder.name}-crops"), seed)
    return written(name, base, table, folder)
