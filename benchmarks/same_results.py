"""The same behaviour and the same numbers: what a fixed list of requests makes, recorded and compared.

    git clone . /tmp/old && python benchmarks/same_results.py record --checkout /tmp/old --out old.json
    python benchmarks/same_results.py record --checkout /tmp/new --out new.json      moved code, empty store
    python benchmarks/same_results.py compare old.json new.json                      exit 1: it differs
    python benchmarks/same_results.py record --checkout /tmp/old --out again.json    moved code, old store
    python benchmarks/same_results.py compare old.json again.json --reused           nothing may be built
    python benchmarks/same_results.py record --checkout DIR --out part.json --only eda,bag

A pass takes about 12 minutes on two idle cores, 18 on busy ones; 4 to 7 where all is reused. It speaks to a
checkout through `make` and `python -m pipeline` only, with one thread and in fp32, and leaves a store there,
so give it a clone of its own. Reports know scores and runs that came later only in a second pass: the old
store has had two, and the third is the first that builds nothing.

Recorded are digests of the arrays, tables, pictures and numbers of every artifact, submission and line of
the ledger, of the metrics in MLflow, and of the numbers on every page. Keys may differ: what has no
counterpart by key is matched by its contents, stage by stage. What is no result stands in `NO_RESULTS` and
`NO_NUMBERS`, with why.
"""

from __future__ import annotations

import argparse
import csv
import fnmatch
import hashlib
import html
import io
import json
import os
import re
import shlex
import sqlite3
import string
import subprocess
import sys
import time
import zlib
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

Parts = dict[str, np.ndarray]
# Every stage; `record` fails if one of them has no artifact.
STAGES = re.findall(
    r"\w+",
    """train_data data train_images images train_boxes boxes train_prepared prepared preview folds eda
    resample features heads fold teach nested train views infer whole refit ensemble cost decide distill
    learning_curve robustness ablate explain leaderboard faults finders error_analysis""",
)
DIGITS = "competition=digits competition.demo.limit=300"
WORDS = {
    "DIGITS": DIGITS,
    "NET": f"{DIGITS} experiment=tiny_resnet+same",
    "CNN": f"{DIGITS} experiment=tiny_cnn+same",
    "HEAD": f"{DIGITS} experiment=probe+lean",
    "PEOPLE": "competition=emoji-people experiment=probe+lean",
    "DECIDE": "'decision.steps=[class_scales,prior_correction,group_average]' decision.adopt=always",
}
# `name: make TARGET VARIABLES -- ARGS`, or `name: podium COMMAND …` without make. Before a name: `*`, the
# numbers that it prints are recorded too, as no stage holds them; `2`, it is refused. For a `*` in
# submissions/ stands the oldest one that fits.
TABLE = r"""
# Every command of the README.
all: make all -- experiment=debug
    'ensemble.members=[lite0+debug+fp32,small_cnn+debug+fp32,probe+debug]'
lite0: make train -- experiment=lite0 train.folds=[0] train.precision=fp32
help: make help --
*new: make new NAME=same_pets IMAGES=same/pets --
new-eda: make eda -- competition=same_pets folds.n=2
eda: make eda -- $DIGITS experiment=same
*folds: make folds -- $DIGITS folds.kind=repeated folds.n=2 folds.repeats=2
resample: make resample -- $NET resample.method=over
preview: make preview -- $NET train.mix.method=cutmix train.mix.partner=minority
models: make models NAMES='resnet10t test_resnet' -- $DIGITS images.size=32
train-one: make train -- $NET train.folds=[0]
train: make train -- $NET
infer: make infer -- $NET 'infer.views=[identity,"shift(1,1)","rotate(5)"]' infer.merge=fitted
ensemble: make ensemble -- $NET
distill: make distill -- $HEAD train.distill.inner=2
refit: make refit -- $CNN
learning-curve: make learning-curve -- $NET 'learning_curve.shares=[0.3,1.0]'
robustness: make robustness -- $NET 'robustness.blur=[1.0]' 'robustness.brightness=[0.5,1.5]'
explain: make explain RUN=tiny_cnn+same -- $CNN explain.images=2 explain.attention_images=8
    explain.occlusion.window=0.3 explain.units.shown=1 explain.units.patches=2 explain.units.images=1
    explain.synthesis.steps=4 explain.synthesis.classes=[3] explain.neighbours.k=2
    explain.embedding.perplexity=5 explain.embedding.seeds=2
ablate: make ablate GRID=same/grid.yaml -- $DIGITS
tune-resample: make tune STAGE=resample TRIALS=3 -- $HEAD
tune-train: make tune STAGE=train TRIALS=3 -- $NET train.folds=[0]
tune-tta: make tune STAGE=tta TRIALS=4 -- $NET
tune-ensemble: make tune STAGE=ensemble TRIALS=4 -- $NET
tune-decision: make tune STAGE=decision TRIALS=3 -- $NET
tune-error-analysis: make tune STAGE=error-analysis TRIALS=2 -- $NET
tune-eda: make tune STAGE=eda TRIALS=4 SPACE=same/eda.yaml -- $HEAD
tune-all: make tune STAGE=all TRIALS=2 TIME=2h -- $NET
# Further requests, until every stage is reached.
bag: podium infer $NET train.bag=2
chain: podium train $HEAD train.chain.members=3
chain-net: podium train $NET train.chain.mode=failed train.chain.inner=0
pseudo: podium train $HEAD train.pseudo.test_images=true train.pseudo.threshold=0.5
nested: podium train $NET 'train.distill={teachers: [tiny_cnn+same, tiny_resnet+same], inner: 2}'
taught: podium refit $NET 'train.distill={teachers: [tiny_cnn+same], inner: 0}'
init-from: podium refit $CNN images.size=24 train.init_from=tiny_cnn+same
smote: podium refit $HEAD resample.method=smote
near-miss: podium train $NET resample.method=near_miss
group-average: podium infer $PEOPLE model.heads=attributes $DECIDE decision.members=true
clusters: podium infer $PEOPLE $DECIDE decision.groups=clusters decision.members=true
curve-head: podium learning-curve $HEAD 'learning_curve.shares=[0.5,1.0]'
logistic: podium infer $DIGITS experiment=probe_logistic+lean
mlp: podium robustness $DIGITS experiment=probe_mlp+lean train.head_seeds=2
loop: podium train $NET train.mix.method=cutmix train.ema_decay=0.9 loss.name=focal augment.policy=trivial
    loss.class_weights=effective train.early_stopping.patience=2 resample.method=over folds.kind=holdout
    folds.valid_share=0.3 'resample.copies={times: 1, policy: rotate30}' images.resize=letterbox
boxes: podium preview $NET crop.method=statistics crop.boxes=../../same/boxes.csv
own-parts: podium infer $NET model.name=same_parts:net model.weights=none loss.name=same_parts:poly1
    augment.policy=same_parts:stripes resample.method=same_parts:square_root resample.redraw=true
    preprocess.function=same_parts:darker 'decision.steps=[same_parts:agree]' decision.members=true
    competition.metric=same_parts:f2
outside: podium ensemble $NET ensemble.weights.mate=0.5
    'ensemble.members=[tiny_resnet+same,"file:same/theirs.csv+same/oof.csv","labels:same/mate.csv"]'
stacking: podium ensemble $NET ensemble.method=stacking ensemble.temperature=true
    'decision.steps=[class_scales,prior_correction]' decision.adopt=always
refit-blend: podium ensemble $NET ensemble.method=geometric ensemble.refit=true
# Those that look at what was made.
error-analysis: make error-analysis -- $NET
error-a-b: make error-analysis A=same/mate.csv B=submissions/digits-tiny_cnn_same-*.csv -- $NET
*score: make score -- $DIGITS
*reveal: make score FILE=same/mate.csv PUBLIC=0.1 -- $DIGITS
*validate: make validate FILE=same/mate.csv OUT=same/mended.csv -- $DIGITS
*2 unfit: make validate FILE=same/theirs.csv -- $DIGITS
submit: make submit FILE=submissions/digits-tiny_cnn_same-refit-*.csv YES=1 --
    $DIGITS 'competition.submission.command=cp {file} same/inbox.csv'
2 no-client: make submit FILE=same/mate.csv YES=1 -- $DIGITS
reproduce: make reproduce FILE=submissions/digits-ensemble-*.csv SCRATCH=1 --
leaderboard: make leaderboard -- $NET
*pin-best: make pin-best NAME=mate -- $DIGITS
*final: make final N=2 -- $DIGITS
*unpin: make pin-best NAME=none -- $DIGITS
runs: make runs -- $DIGITS
*config: make config -- $NET
du: make du --
gc: make gc DRY=1 --
2 pin: make pin KEY=nothing --
2 ui: make ui DB=none.db --
2 typo: make train -- $NET train.epoch=3
"""


@dataclass(frozen=True)
class Request:
    """One command, the exit code that it ends with, and whether the numbers that it prints are recorded."""

    name: str
    words: tuple[str, ...]
    code: int
    says: bool


def requests(table: str) -> list[Request]:
    """The requests of a table."""
    found = []
    for line in re.sub(r"\n +", " ", string.Template(table).substitute(WORDS)).splitlines():
        match = re.fullmatch(r"(\*?)(2?) ?([\w-]+): (.*)", line)
        if match:
            says, code, name, asked = match.groups()
            head, _, settings = asked.partition(" --")
            words = shlex.split(head)
            if words[0] == "podium":
                words = [sys.executable, "-m", "pipeline", *words[1:]]
            else:
                words += ["--no-print-directory", f"ARGS={settings.strip()}"]
            found.append(Request(name, tuple(words), int(code or 0), bool(says)))
    return found


REQUESTS = requests(TABLE)

# What is laid into the checkout for them: cheap settings, parts of one's own, a grid and a space.
LEAN = """images: {size: 32}
folds: {n: 2}
statistics: {draws: 100}
eda: {shift_shuffles: 99}
infer: {views: [identity, "shift(1,1)"]}
ensemble: {members: [tiny_resnet+same, tiny_cnn+same]}
"""
PARTS = """import numpy as np
from sklearn.metrics import fbeta_score
from torch import nn

def net(n_classes, size):
    layers = [nn.Conv2d(3, 16, 3, max(size[0] // 16, 1)), nn.BatchNorm2d(16), nn.ReLU(), nn.Conv2d(16, 32, 3)]
    return nn.Sequential(*layers, nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, n_classes))

def poly1(logits_BC, target_BC):
    log_p_BC = logits_BC.log_softmax(-1)
    return 1 - (target_BC * log_p_BC.exp()).sum(-1) - (target_BC * log_p_BC).sum(-1)

def stripes(image_HWC, rng):
    out_HWC = image_HWC.copy()
    out_HWC[rng.choice(len(out_HWC), size=2, replace=False)] = 128
    return out_HWC

def square_root(labels_N, groups_N, fold, rng):
    p_N = np.bincount(labels_N)[labels_N] ** -0.5
    return rng.choice(len(labels_N), size=len(labels_N), p=p_N / p_N.sum())

def darker(image_HWC):
    return image_HWC // 4 * 3

def agree(p_NC, ids_N, groups_N, classes):
    return 0.75 * p_NC + 0.25 * p_NC.mean(axis=0)

def f2(y_N, pred_N):
    return fbeta_score(y_N, pred_N, beta=2, average="macro", zero_division=0)

stripes.does = ("erase",)
f2.direction, f2.needs, f2.minimum = "higher", "labels", 0.0
"""
FILES = {
    "configs/experiment/fp32.yaml": "train: {precision: fp32}\n",
    "configs/experiment/lean.yaml": LEAN,
    "configs/experiment/same.yaml": LEAN + "train: {precision: fp32, epochs: 2, warmup_epochs: 0}\n",
    "same_parts.py": PARTS,
    "same/grid.yaml": """experiment: tiny_resnet+same
settings: {train.batch_size: 16}
seeds: [0, 1, 2]
axes:
  resample: {none: {}, under: {resample.method: under, resample.to: cap, resample.cap: 6}}
  length: {short: {train.epochs: 1}, long: {train.epochs: 2}}
against: [{resample: none}]
""",
    "same/eda.yaml": """experiment: probe+lean
space: {preprocess.contrast: {type: float, low: 0.25, high: 1.75, step: 0.5}}
sampler: grid
retest_top: 1
retest_seeds: [7]
full: {experiment: tiny_resnet+same, trials: 4, folds: [0]}
""",
}


def prepare(checkout: Path) -> None:
    """Lay files and a folder of photos into the checkout; take away what `new` wrote in an earlier pass."""
    from PIL import Image

    for name, text in FILES.items():
        (checkout / name).parent.mkdir(parents=True, exist_ok=True)
        (checkout / name).write_text(text, encoding="utf-8")
    (checkout / "configs/competition/same_pets.yaml").unlink(missing_ok=True)
    rng = np.random.default_rng(0)
    for number in range(40):
        path = checkout / "same/pets" / ("cat", "dog")[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 128 + 100 * (number % 2), (24, 24, 3)).astype(np.uint8)).save(path)


def from_elsewhere(checkout: Path) -> None:
    """CSVs of a stranger, and boxes, for the small digits, once their tables are there."""
    made = min(checkout.glob("data/digits-*/train.csv"), key=lambda p: p.stat().st_size, default=None)
    if made is None or (checkout / "same/boxes.csv").is_file():
        return
    tables = {}
    for split in ("train", "test"):
        with made.with_name(f"{split}.csv").open(encoding="utf-8", newline="") as file:
            tables[split] = [row["id"] for row in csv.DictReader(file)]
    rows: dict[str, list[tuple[Any, ...]]] = {}
    for name, ids in (("theirs", tables["test"]), ("oof", tables["train"])):
        p_NC = np.random.default_rng(len(ids)).dirichlet(np.ones(10), len(ids)).round(4)
        rows[name] = [("id", *range(10)), *((one, *p_C) for one, p_C in zip(ids, p_NC.tolist(), strict=True))]
    rows["mate"] = [("id", "label"), *((one, zlib.crc32(one.encode()) % 10) for one in tables["test"])]
    boxes = ((one, n % 5, 2, 24, 20 + n % 7) for n, one in enumerate(tables["train"]))
    rows["boxes"] = [("id", "x", "y", "w", "h"), *boxes]
    for name, lines in rows.items():
        text = "".join(",".join(map(str, line)) + "\n" for line in lines)
        (checkout / f"same/{name}.csv").write_text(text, encoding="utf-8")


# What is no result, as (stage, file, part): found by running the same code twice on empty stores.
NO_RESULTS = (
    ("*", "*", "*minutes"),  # how long a stage, an epoch or what advice suggests takes
    ("*", "*", "*images_per_second"),
    ("*", "*", "*seconds_per_row"),
    ("*", "*", "*ms_*"),  # ms_per_image, ms_1, ms_64, and what heads share of them
    ("views", "times.json", "*"),  # ms an image of each view
    ("*", "*", "*times_as_fast"),  # a student against its blend
    ("cost", "cost.csv", "*ms*"),  # the same of each member, and score per ms
    ("cost", "ensemble.html", "*"),  # shows these times in every line; its other figures are in cost.csv
    ("ablate", "ablation.csv", "seconds"),
    ("ablate", "ablation.html", "*"),  # the same; its other figures are in ablation.csv
    ("ledger", "line", "created"),
    ("ledger", "line", "key"),  # compared as keys, not as contents
)
# On pages and in what is printed: dates, times of day, spans of time, digests, keys, names that end in one
# (tables cut them short).
NO_NUMBERS = re.compile(
    r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d)?)?|\d\d:\d\d(:\d\d)?"
    r"|[\d.,]+\s*(ms|s|min|minutes?|seconds?|h|hours?)\b"
    r"|\b[0-9a-f]{64}\b|\b[0-9a-f]{16}\b|\b[0-9a-f]{8}\b|[a-z_]-[0-9a-f]{1,6}\b"
)
NUMBER = re.compile(r"(?<![\w.])[-+−]?\d*\.?\d+(?:[eE][-+]?\d+)?")


def numbers(text: str) -> np.ndarray:
    """The numbers of a text, in order."""
    return np.array([float(n.replace("−", "-")) for n in NUMBER.findall(NO_NUMBERS.sub(" ", text))])


def leaves(value: Any, path: str = "") -> Iterator[tuple[str, float]]:
    """Path and value of every number in what a JSON file holds; the entries of a list share one path."""
    if isinstance(value, dict | list):
        pairs = value.items() if isinstance(value, dict) else (("[]", below) for below in value)
        for name, below in pairs:
            yield from leaves(below, f"{path}.{name}")
    elif isinstance(value, int | float):
        yield path, float(value)


def columns(rows: list[list[str]]) -> Parts:
    """A table by column: as numbers where all of its cells are."""
    found: Parts = {}
    for name, *cells in zip(*rows, strict=False):
        try:
            found[name] = np.array([float(cell or "nan") for cell in cells])
        except ValueError:
            found[name] = np.array(cells, dtype=np.str_)
    return found


def tensors(value: Any, path: str = "") -> Parts:
    """Everything in a checkpoint."""
    import torch

    if isinstance(value, torch.Tensor):
        return {path: (value.view(torch.int16) if value.dtype == torch.bfloat16 else value).numpy()}
    if isinstance(value, dict | list | tuple):
        pairs = value.items() if isinstance(value, dict) else enumerate(value)
        return {k: v for name, below in pairs for k, v in tensors(below, f"{path}.{name}").items()}
    return {path: np.array(str(value))}


def checkpoint(path: Path) -> Parts:
    """A file of torch, behind a digest of its bytes or without one."""
    import torch

    whole = path.read_bytes()
    body = whole if whole.startswith(b"PK") else whole[hashlib.sha256().digest_size :]
    return tensors(torch.load(io.BytesIO(body), map_location="cpu", weights_only=True))


def parsed(path: Path) -> Parts:
    """The numbers of a JSON file; of a manifest those of its figures."""
    whole = json.loads(path.read_text(encoding="utf-8"))
    found: dict[str, list[float]] = {}
    for where, value in leaves(whole["metrics"] if path.name == "manifest.json" else whole):
        found.setdefault(where, []).append(value)
    return {where: np.array(values) for where, values in found.items()}


def page(path: Path) -> Parts:
    """The numbers in the visible text of a page."""
    text = path.read_text(encoding="utf-8")
    text = re.sub(r"<(script|style)\b.*?</\1>|<!--.*?-->", " ", text, flags=re.DOTALL)
    return {"numbers": numbers(html.unescape(re.sub(r"<[^>]*>", " ", text)))}


def read(content: Path | Parts) -> Parts:
    """What a file holds, as arrays by name, whatever the bytes of its container are."""
    if isinstance(content, dict):
        return content
    kind = content.suffix
    if kind == ".npz":
        with np.load(content) as file:
            return {name: file[name] for name in file.files}
    if kind == ".npy":
        return {"": np.load(content, mmap_mode="r")}
    if kind == ".png":
        from PIL import Image

        return {"pixels": np.asarray(Image.open(content))}
    if kind == ".csv":
        with content.open(encoding="utf-8-sig", newline="") as file:
            return columns(list(csv.reader(file)))
    readers = {".pt": checkpoint, ".json": parsed, ".html": page}
    return readers[kind](content) if kind in readers else {"": np.fromfile(content, np.uint8)}


Item = dict[str, Path | Parts]


def items(checkout: Path) -> dict[str, Item]:
    """`stage/key` -> its files; beside artifacts: submissions, the ledger, pages of searches, MLflow."""
    found: dict[str, Item] = {}
    for manifest in checkout.glob("artifacts/[!.]*/*/manifest.json"):
        folder = manifest.parent
        files = [path for path in folder.rglob("*") if path.is_file()]
        found[f"{folder.parent.name}/{folder.name}"] = {p.relative_to(folder).as_posix(): p for p in files}
    found |= {f"tuning/{path.stem}": {"page.html": path} for path in checkout.glob("tuning/*.html")}
    for path in checkout.glob("submissions/*.csv"):
        if path.stem == "leaderboard":
            with path.open(encoding="utf-8", newline="") as file:
                for row in csv.DictReader(file):
                    line = {name: np.array(cell) for name, cell in row.items()}
                    line["note"] = numbers(row["note"])  # names a key
                    found[f"ledger/{line.pop('name')}"] = {"line": line}
        elif path.stem != "submits":
            found[f"submissions/{path.stem}"] = {"csv": path}
    return found | runs(checkout / "mlflow.db")


def runs(database: Path) -> dict[str, Item]:
    """The last value of each metric of each run in MLflow; its stage and key stand for the run."""
    if not database.is_file():
        return {}
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        names = dict(db.execute("select run_uuid, name from runs where lifecycle_stage = 'active'"))
        tags = {(run, tag): value for run, tag, value in db.execute("select run_uuid, key, value from tags")}
        metrics = list(db.execute("select run_uuid, key, value from latest_metrics order by key"))
    found: dict[str, Item] = {}
    for run, name in names.items():
        above = tags.get((run, "mlflow.parentRunId"), "")
        of = (names.get(above), tags.get((above, "study")), tags.get((run, "study")), tags.get((run, "key")))
        key = " ".join(word for word in (tags.get((run, "stage")), *of, name) if word)
        told = {metric: np.array(float(value)) for other, metric, value in metrics if other == run}
        found[f"mlflow/{key}"] = {"metrics": told}
    return found


def digest(array: np.ndarray) -> str:
    """Of type, shape and values."""
    return hashlib.sha256(f"{array.dtype} {array.shape}".encode() + array.tobytes()).hexdigest()[:16]


TOLD = re.compile(r"^([a-z][a-z-]+) .*?(reused|[\d.]+ s) +([0-9a-f]{8})$", re.MULTILINE)


def run(request: Request, checkout: Path) -> dict[str, Any]:
    """One request: how it ended, which results it told of (reused or not), and which are new."""
    before, words = set(items(checkout)), []
    for word in request.words:
        head, at, pattern = word.partition("submissions/")
        there = sorted(checkout.glob(f"submissions/{pattern}"), key=lambda p: p.stat().st_mtime_ns)
        words.append(f"{head}{at}{there[0].name}" if "*" in pattern and there else word)
    apart = ("MAKE", "MFLAGS", "MLFLOW", "OPTUNA", "PODIUM")
    env = {name: value for name, value in os.environ.items() if not name.startswith(apart)}
    # One thread of torch, as runtime.threads=1 would ask in every request; manifests say so in `profile`.
    env |= {"PODIUM_ENV": sys.prefix, "PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    started = time.monotonic()
    done = subprocess.run(words, cwd=checkout, env=env, capture_output=True, text=True)
    seconds = round(time.monotonic() - started, 1)
    told = {f"{stage.replace('-', '_')}/{key}": how for stage, how, key in TOLD.findall(done.stdout)}
    told = {name: "reused" if how == "reused" else "built" for name, how in told.items()}
    new = sorted(name for name in set(items(checkout)) - before if name.partition("/")[0] in STAGES)
    print(f"{request.name:<20} {seconds:7.1f} s  {len(new):3} artifacts built", flush=True)
    if done.returncode != request.code:
        print(f"ended with {done.returncode}, not {request.code}: {done.stdout[-500:]}{done.stderr[-1500:]}")
    says = numbers(done.stdout).tolist() if request.says else []
    return {"code": done.returncode, "seconds": seconds, "told": told, "new": new, "says": says}


def record(checkout: Path, out: Path, only: list[str]) -> int:
    """Run the requests and write the record; 1 if one ended otherwise, or a stage is missing."""
    prepare(checkout)
    found, wrong = {}, []
    for request in REQUESTS:
        if not only or request.name in only:
            found[request.name] = run(request, checkout)
            wrong += [request.name] * (found[request.name]["code"] != request.code)
            from_elsewhere(checkout)
    made = {
        name: {file: {part: digest(x) for part, x in read(c).items()} for file, c in sorted(item.items())}
        for name, item in sorted(items(checkout).items())
    }
    whole = {"checkout": str(checkout), "requests": found, "artifacts": made}
    out.write_text(json.dumps(whole, indent=1), encoding="utf-8")
    missing = [] if only else sorted(set(STAGES) - {name.partition("/")[0] for name in made})
    print(
        f"{sum(r['seconds'] for r in found.values()):.0f} s; ended otherwise: {', '.join(wrong) or 'none'}; ",
        end="",
    )
    print(f"stages without an artifact: {', '.join(missing) or 'none'}")
    return int(bool(wrong or missing))


@dataclass(frozen=True)
class Side:
    """One record, and what can still be read of its store: `stage/key` -> file -> part -> digest."""

    made: dict[str, dict[str, dict[str, str]]]
    store: dict[str, Item]

    @staticmethod
    def of(whole: dict[str, Any]) -> Side:
        """A record without what is no result."""

        def kept(stage: str, file: str, part: str) -> bool:
            return not any(all(map(fnmatch.fnmatch, (stage, file, part), no)) for no in NO_RESULTS)

        made = {
            name: {
                file: {part: x for part, x in parts.items() if kept(name.partition("/")[0], file, part)}
                for file, parts in files.items()
            }
            for name, files in whole["artifacts"].items()
        }
        return Side(made, items(Path(whole["checkout"])))


def distance(contents: list[Path | Parts | None], part: str) -> str:
    """The largest absolute difference of one part, as far as both can be read."""
    a, b = (None if content is None else read(content).get(part) for content in contents)
    if a is None or b is None:
        return "on one side only, or no longer there"
    if a.shape != b.shape or a.dtype != b.dtype:
        return f"{a.dtype} {a.shape} and {b.dtype} {b.shape}"
    if a.dtype.kind not in "fiub":
        return (
            f"{(a != b).sum()} of {a.size} words differ, first {a[a != b].flat[0]!r}, {b[a != b].flat[0]!r}"
        )
    gap = np.abs(np.nan_to_num(a.astype(float)) - np.nan_to_num(b.astype(float)))
    return f"largest difference {gap.max():.6g}, {(gap > 0).sum()} of {gap.size} values"


def apart(old: Side, new: Side, a: str, b: str) -> list[str]:
    """Where two artifacts differ: file, part, and by how much."""
    found = []
    for file in sorted(old.made[a].keys() | new.made[b].keys()):
        one, two = old.made[a].get(file, {}), new.made[b].get(file, {})
        for part in sorted(one.keys() | two.keys()):
            if one.get(part) != two.get(part):
                sides = [side.store.get(name, {}).get(file) for side, name in ((old, a), (new, b))]
                found.append(f"{a} and {b}: {file} [{part}]: {distance(sides, part)}")
    return found


def of_stage(stage: str, old: Side, new: Side) -> list[str]:
    """The differences of one stage: by key where there is a counterpart, by contents where there is none."""
    one, two = (
        {
            n: json.dumps(files, sort_keys=True)
            for n, files in side.made.items()
            if n.partition("/")[0] == stage
        }
        for side in (old, new)
    )
    same = one.keys() & two.keys()
    found = [line for n in sorted(same) if one[n] != two[n] for line in apart(old, new, n, n)]
    left = Counter(content for n, content in two.items() if n not in same)
    lost = []
    for name in sorted(one.keys() - same):
        left[one[name]] -= 1
        lost += [name] * (left[one[name]] < 0)
    # What was built again under another key, in the store that holds the first one too, is no difference.
    strange = [n for n in sorted(two.keys() - same) if two[n] not in one.values()]
    for name in lost:
        alike = {n: sum(new.made[n].get(f) == x for f, x in old.made[name].items()) for n in strange}
        near = max(alike, key=lambda n: alike[n], default=None)
        found += apart(old, new, name, near) if near else [f"{name}: the new record has nothing like it"]
        strange = [n for n in strange if n != near]
    found += [f"{name}: the old record has nothing like it" for name in strange]
    print(f"{stage:<16} {len(one):4} and {len(two):4}, {len(same):4} equal keys, {len(found):4} differences")
    return found


def compare(old: dict[str, Any], new: dict[str, Any], reused: bool) -> int:
    """Print every difference; 1 if there is one."""
    found = []
    for name in sorted(old["requests"].keys() | new["requests"].keys()):
        a, b = old["requests"].get(name), new["requests"].get(name)
        if a is None or b is None:
            print(f"request {name}: in one record only")
            continue
        if a["code"] != b["code"]:
            found.append(f"request {name}: exit code {a['code']} and {b['code']}")
        if a["says"] != b["says"] and not reused:
            found.append(f"request {name} prints other numbers: {a['says']} and {b['says']}")
        if reused and b["new"]:
            found.append(f"request {name} built {', '.join(b['new'])}")
    sides = Side.of(old), Side.of(new)
    for stage in sorted({name.partition("/")[0] for side in sides for name in side.made}):
        found += of_stage(stage, *sides)
    print("\n".join(found) or "no difference")
    return int(bool(found))


def main() -> int:
    """The command line."""
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = words.add_subparsers(dest="command", required=True)
    one = commands.add_parser("record", help="run the requests in a checkout")
    one.add_argument("--checkout", type=Path, required=True)
    one.add_argument("--out", type=Path, required=True)
    one.add_argument("--only", default="", help="requests by name, separated by commas")
    two = commands.add_parser("compare", help="list the differences of two records")
    two.add_argument("old", type=Path)
    two.add_argument("new", type=Path)
    two.add_argument(
        "--reused", action="store_true", help="the new one is of the old store: nothing is built"
    )
    options = words.parse_args()
    if options.command == "record":
        only = [name for name in options.only.split(",") if name]
        unknown = sorted(set(only) - {request.name for request in REQUESTS})
        if unknown:
            words.error(f"no such request: {', '.join(unknown)}")
        return record(options.checkout.resolve(), options.out, only)
    old, new = (json.loads(path.read_text(encoding="utf-8")) for path in (options.old, options.new))
    return compare(old, new, options.reused)


if __name__ == "__main__":
    sys.exit(main())
