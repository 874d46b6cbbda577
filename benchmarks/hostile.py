"""Files, names and moments that no one plans for: malformed files of every kind, hostile names, random kills.

    python benchmarks/hostile.py files --rounds 2000          every reader, in this process: minutes
    python benchmarks/hostile.py names                        one dataset of hostile names: a minute
    python benchmarks/hostile.py kills --rounds 20 --home DIR kills at random moments: half an hour

Every part has a seed (`--seed`), and a failure prints what repeats it. Quick forms with a fixed seed are
tests (tests/bench/test_benchmark_hostile.py).

What must hold: a reader returns a value or raises a `UserError`, and changes no other file; no output holds a
control code, and no page an unescaped name; a killed command leaves no run open, no temporary file and no
damaged result once the next one ran, and the final submission has the same bytes as one that nobody killed.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import random
import re
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from pipeline.core.errors import UserError
from pipeline.core.samples import Attribute, LabelSpace, strings
from pipeline.core.tables import read_table
from pipeline.data import crop, host_format
from pipeline.data.readers.reading import Reading
from pipeline.data.readers.registry import Members
from pipeline.ensemble import external
from pipeline.errors.advice import ledger as advice
from pipeline.errors.judging import answers
from pipeline.record import housekeeping
from pipeline.record.files import FileIndex
from pipeline.record.machine import Profile
from pipeline.record.store import Store
from pipeline.settings.competition import CompetitionSettings
from pipeline.settings.load import CONFIGS, Request, resolve
from pipeline.settings.submission import SubmissionSettings
from pipeline.submit import ledger, provenance, submit_log, validate
from pipeline.train.studies import grid
from pipeline.tune import space

CHECKOUT = Path(__file__).resolve().parents[1]
SPACE = LabelSpace.product([Attribute("kind", ("cat", "dog")), Attribute("age", ("young", "old"))])
COMPETITION = CompetitionSettings(submission=SubmissionSettings(id_column="id"))
IDS = ("001", "002", "003", "b c")
NAMED, SHARES = SubmissionSettings(format="class_name"), SubmissionSettings(format="probabilities")


@dataclass(frozen=True)
class Kind:
    """A kind of file that is read.

    Args:
        valid: the bytes of a valid one.
        name: its path below the home.
        read: reads it; gets its path and the home.
    """

    valid: bytes
    name: str
    read: Callable[[Path, Path], object]


def _sample(home: Path) -> Path:
    path = home / "sample.csv"
    path.write_bytes(host_format.sample_of(IDS, SPACE, NAMED))
    return path


def _answers(path: Path) -> object:
    return answers.parse(read_table(path), SPACE)


def _configs(path: Path, home: Path) -> object:
    folder = home / "configs"
    (folder / "config.yaml").write_text(
        (CONFIGS / "config.yaml").read_text(encoding="utf-8"), encoding="utf-8"
    )
    return resolve(Request(competition="pets", experiment=("pets",)), folder)


def kinds() -> Mapping[str, Kind]:
    """Every kind of file that comes from outside."""
    rows = "\n".join(f"{name},{SPACE.classes[n % 4]}" for n, name in enumerate(IDS))
    shares = "\n".join(f"{name},0.1,0.2,0.3,0.4" for name in IDS)
    cells = "u1,member,2026-11-22T09:00:00+00:00"
    given = {"about": "train/a", "experiment": "a", "settings": ["a=1"], "bound": 0.5, "when": "now"}
    judged = [answers.Answer("001", False, (0, 1), "s", 0.5, "a-b-10")]
    verdicts = [answers.columns(SPACE), *answers.rows(judged, SPACE)]
    key = "infer/aaaaaaaaaaaaaaaa"
    digest = "0123456789abcdef" * 4
    node = {"version": 1, "identity": "", "config": {}, "inputs": {}, "made": 0}
    known = {
        "version": 2,
        "name": "pets-a",
        "artifact": key,
        "csv_sha256": digest,
        "format": {"sample_sha256": digest},
        "members": {"a": {"artifact": key, "request": None}},
        "request": {
            "competition": "pets",
            "model": None,
            "experiment": [],
            "values": [],
            "files": {"config.yaml": ""},
        },
        "machines": [{"profile": {"device": "cpu", "threads": 1}, "versions": {}}],
        "chain": {key: node},
        "manifest": {"git": "none", "versions": {}, "config": {}},
    }
    manifest = {"stage": "infer", "key": "a", "files": {}, "inputs": {"of": key}}
    machine = {"version": 1, "entries": [{"of": {"a": 1}, "measured": {"ms": 2}}]}
    competition = (CONFIGS / "competition" / "digits.yaml").read_bytes()
    tuned = sorted((CONFIGS / "tune").glob("*.yaml"))[0].read_bytes()
    ablated = sorted((CONFIGS / "ablate").glob("*.yaml"))[0].read_bytes()
    header = ",".join(ledger.COLUMNS)
    line = (
        cells.replace("u1", "probe")
        .replace(",member,", ",2026-11-22T09:00:00+00:00,member,")
        .rpartition(",")[0]
    )
    line += "," * (len(ledger.COLUMNS) - line.count(",") - 1)
    submits = ",".join(submit_log.COLUMNS) + f"\n2026-11-22T09:00:00+00:00,pets,a,{digest},accepted,hello\n"
    return {
        "pixels": Kind(
            json.dumps([{"id": name, "band": [n] * 64} for n, name in enumerate(IDS)]).encode(),
            "train.json",
            lambda p, h: Members(p, Reading()),
        ),
        "table": Kind(f"id,label\n{rows}\n".encode(), "train.csv", lambda p, h: read_table(p)),
        "submission": Kind(
            f"id,label\n{rows}\n".encode(),
            "theirs.csv",
            lambda p, h: validate.check(p, _sample(h), SPACE, NAMED),
        ),
        "member": Kind(
            f"id,{','.join(SPACE.classes)}\n{shares}\n".encode(),
            "member.csv",
            lambda p, h: external.read_probabilities(p, "x", SPACE, strings(IDS), COMPETITION),
        ),
        "boxes": Kind(
            b"id,x,y,w,h\n001,0,0,5,5\n002,1,1,4,4\n",
            "boxes.csv",
            lambda p, h: crop.read_csv(p, {("train", name): (10, 10) for name in IDS}),
        ),
        "ledger": Kind(
            f"{header}\n{line}\n".encode(), "submissions/leaderboard.csv", lambda p, h: ledger.read(p)
        ),
        "submits": Kind(submits.encode(), "submissions/submits.csv", lambda p, h: submit_log.read(p)),
        "advice": Kind(
            (json.dumps(given) + "\n").encode() * 3, "submissions/advice.jsonl", lambda p, h: advice.read(h)
        ),
        "verdicts": Kind(
            "\n".join(",".join(row) for row in verdicts).encode(),
            "submissions/verdicts/pets.csv",
            lambda p, h: _answers(p),
        ),
        "provenance": Kind(
            json.dumps(known, indent=1).encode(), "submissions/pets-a.json", lambda p, h: provenance.read(p)
        ),
        "roots": Kind(
            json.dumps(known).encode(),
            "submissions/pets-b.json",
            lambda p, h: housekeeping.needed(Store(h, FileIndex(h / "index")), h),
        ),
        "pins": Kind(
            f"{key}\n".encode(),
            "submissions/pins.txt",
            lambda p, h: housekeeping.needed(Store(h, FileIndex(h / "index")), h),
        ),
        "manifest": Kind(
            json.dumps(manifest).encode(),
            "artifacts/infer/a/manifest.json",
            lambda p, h: Store(h, FileIndex(h / "index")).look("infer", "a"),
        ),
        "index": Kind(b'{"/a": [1, 2, "x"]}', "artifacts/.index.json", lambda p, h: FileIndex(p)),
        "machine": Kind(json.dumps(machine).encode(), "machine.json", lambda p, h: Profile(h).find({"a": 1})),
        "competition": Kind(competition, "configs/competition/pets.yaml", _configs),
        "experiment": Kind(b"train:\n  epochs: 3\n  lr: 1e-3\n", "configs/experiment/pets.yaml", _configs),
        "space": Kind(tuned, "space.yaml", lambda p, h: space.read(p)),
        "grid": Kind(ablated, "grid.yaml", lambda p, h: grid.read(p)),
    }


GARBAGE = (
    b"\x00",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b"\x1b[2J",
    b"\r",
    b"\n",
    b"\t",
    b'"',
    b"'",
    b",",
    b";",
    b"|",
    b"{",
    b"}",
    b"[",
    b"]",
    b":",
    b"#",
    b"&a",
    b"*a",
    b"!!python/object:os.system",
    b"<<: *a",
    b"\xed\xa0\x80",
    b"NaN",
    b"1e999",
    b"-1",
    b"9" * 5000,
    b"../../victim",
    b"null",
    b"true",
    b"\xe2\x80\xae",
    b"${oc.env:HOME}",
    b"${x}",
    b"%s",
    b"{0}",
    b"---\n",
    b"<<<<<<< HEAD\n",
    b"=======\n",
    b">>>>>>> theirs\n",
)
VALUES = (None, True, 0, -1, 1e308, "", "x", "../x", [], {}, [[]], {"a": {}}, "9" * 5000, 10**30, "\ud800")


def mutated(valid: bytes, draw: random.Random) -> bytes:
    """A file that was cut, overwritten, merged badly, or written by a program with other ideas."""
    data = bytearray(valid)
    for _ in range(draw.choice((1, 1, 2, 5))):
        at = draw.randrange(len(data) + 1)
        match draw.randrange(8):
            case 0:
                del data[at:]
            case 1:
                del data[at : at + draw.randrange(1, 9)]
            case 2:
                data[at:at] = draw.choice(GARBAGE)
            case 3:
                data[at : at + draw.randrange(1, 20)] = draw.choice(GARBAGE)
            case 4:
                lines = bytes(data).split(b"\n")
                lines.insert(draw.randrange(len(lines) + 1), draw.choice(lines))
                data = bytearray(b"\n".join(lines))
            case 5:
                lines = bytes(data).split(b"\n")
                draw.shuffle(lines)
                data = bytearray(b"\n".join(lines))
            case 6:
                data = bytearray(bytes(data).decode("utf-8", "replace").encode("utf-16"))
            case 7:
                data = bytearray(_other_value(bytes(data), draw))
    return bytes(data)


def _other_value(data: bytes, draw: random.Random) -> bytes:
    """JSON with one value replaced by one of another type; other files are returned unchanged."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return data
    place, key = None, None
    below = value
    while isinstance(below, dict | list) and below and (place is None or draw.random() < 0.7):
        key = draw.choice(list(below)) if isinstance(below, dict) else draw.randrange(len(below))
        place, below = below, below[key]
    if place is None:
        return json.dumps(draw.choice(VALUES)).encode()
    place[key] = draw.choice(VALUES)
    return json.dumps(value).encode()


def try_files(rounds: int, seed: int, only: str = "") -> list[str]:
    """Mutate a valid file of each kind `rounds` times and read it; returns a line for each failure."""
    failures = []
    with tempfile.TemporaryDirectory() as folder:
        home, every = Path(folder), kinds()
        for name, kind in every.items():
            path = home / kind.name
            path.parent.mkdir(parents=True, exist_ok=True)
            for config in (every["competition"], every["experiment"]):  # each needs the other
                (home / config.name).parent.mkdir(parents=True, exist_ok=True)
                (home / config.name).write_bytes(config.valid)
            if only in ("", name):
                path.write_bytes(kind.valid)
                kind.read(path, home)  # the valid one must be read, or nothing would be tested
                failures += _tried(name, kind, path, home, rounds, seed)
            path.unlink(missing_ok=True)
    return failures


def _tried(name: str, kind: Kind, path: Path, home: Path, rounds: int, seed: int) -> list[str]:
    failures = []
    for number in range(rounds):
        draw = random.Random(f"{seed} {name} {number}")
        path.write_bytes(mutated(kind.valid, draw))
        before = path.read_bytes()
        try:
            kind.read(path, home)
        except UserError as error:
            if not error.headline.strip():
                failures.append(f"{name} {number} (seed {seed}): an error without a word")
        except Exception:
            last = traceback.format_exc().strip().splitlines()
            failures.append(
                f"{name} {number} (seed {seed}): {last[-1]} ({last[-3].strip() if len(last) > 2 else ''})"
            )
        if not path.is_file() or path.read_bytes() != before:
            failures.append(f"{name} {number} (seed {seed}): reading changed the file")
    return failures


SCRIPT = "<script>alert(1)</script>"
# No slash and no NUL: everything else may stand in the name of a file.
NAMES = (
    "\x1b[2J\x1b]0;owned\x07",
    SCRIPT.replace("/", "\u2044"),
    '"><img src=x onerror=alert(1)>',
    "a b",
    " lead",
    "trail ",
    "#hash",
    "100%",
    "a?b=c",
    "a&b;c",
    "$(touch victim)",
    "`touch victim`",
    "-rf",
    "--help",
    "'quote'",
    '"double"',
    "a,b;c",
    "고양이",
    "é",
    "\u202egnp",
    "n" * 150,
    "{{7*7}}",
    "{0}",
    "%s",
    "a\nb",
    "a\tb",
    "CON",
    "=1+1",
    "null",
    "1e5",
    "007",
)


def command(*words: str, home: Path, cwd: Path, **more: object) -> subprocess.CompletedProcess[bytes]:
    """One command of Podium in a process of its own."""
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "pipeline", *words, f"runtime.home={home}"]
    return subprocess.run(line, cwd=cwd, env=env, capture_output=True, check=False, **more)  # type: ignore[call-overload,no-any-return]


def try_names(folder: Path, seed: int) -> list[str]:
    """A folder per class, with hostile names of classes and files, from `make new` to `make eda`."""
    rng = np.random.default_rng(seed)
    classes = ("cat", NAMES[2].replace("/", ""), "100% a?b", "고양이")
    for label in classes:
        (folder / "images" / label).mkdir(parents=True)
        for number, name in enumerate(NAMES):
            pixels = rng.integers(0, 255, (16, 16, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / "images" / label / f"{name}{number}.png")
    (folder / "configs").mkdir()
    (folder / "configs" / "config.yaml").write_bytes((CONFIGS / "config.yaml").read_bytes())
    for group in ("experiment", "model"):
        for path in (CONFIGS / group).glob("*.yaml"):
            (folder / "configs" / group).mkdir(exist_ok=True)
            (folder / "configs" / group / path.name).write_bytes(path.read_bytes())
    failures = []
    images = str(folder / "images")
    for words in (
        ("new", "--name", "odd", "--images", images),
        ("folds", "competition=odd"),
        ("eda", "competition=odd"),
    ):
        done = command(*words, home=folder, cwd=folder, timeout=300)
        said = done.stdout + done.stderr
        if b"Traceback" in said or done.returncode not in (0, 2):
            failures.append(f"{words[0]}: exit {done.returncode}: {said[-300:]!r}")
        if re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", said.replace(b"\r\n", b"\n")) or "\u202e" in said.decode():
            failures.append(f"{words[0]}: a control code reached the terminal")
    for page in folder.rglob("*.html"):
        if "<img src=x" in page.read_text(encoding="utf-8"):
            failures.append(f"{page.name}: a name is not escaped")
    if list(folder.rglob("victim")):
        failures.append("a name was run as a command")
    return failures


SMALL = (
    *("competition=digits", "experiment=probe", "competition.demo.limit=200", "images.size=16", "folds.n=2"),
    *("train.epochs=1", "statistics.draws=100", "runtime.threads=1"),
)


def try_kills(home: Path, rounds: int, seed: int, words: tuple[str, ...] = ("infer", *SMALL)) -> list[str]:
    """Kill a command at `rounds` random moments, let it finish, and compare with one that nobody killed."""
    whole, broken = home / "whole", home / "broken"
    for place in (whole, broken):
        place.mkdir(parents=True)
    began = time.monotonic()
    done = command(*words, home=whole, cwd=CHECKOUT, timeout=900)
    seconds = time.monotonic() - began
    if done.returncode:
        return [f"the command itself fails: {done.stderr[-500:]!r}"]
    failures = []
    draw = random.Random(seed)
    env = {**os.environ, "PYTHONPATH": str(CHECKOUT), "OMP_NUM_THREADS": "1"}
    line = [sys.executable, "-m", "pipeline", *words, f"runtime.home={broken}"]
    for number in range(rounds):
        wait = draw.uniform(0.2, 1.0) * seconds
        with subprocess.Popen(
            line,
            cwd=CHECKOUT,
            env=env,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            start_new_session=True,
        ) as process:
            try:
                _, err = process.communicate(timeout=wait)
                if process.returncode:
                    failures.append(f"kill {number} (seed {seed}): the next command failed: {err[-300:]!r}")
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
    done = command(*words, home=broken, cwd=CHECKOUT, timeout=900)
    if done.returncode:
        return [*failures, f"the last command failed: {done.stderr[-500:]!r}"]
    return failures + _differences(whole, broken)


def _differences(whole: Path, broken: Path) -> list[str]:
    failures = []
    csvs = [sorted(p.name for p in home.glob("submissions/digits-*.csv")) for home in (whole, broken)]
    if csvs[0] != csvs[1] or not csvs[0]:
        failures.append(f"other submissions: {csvs}")
    for name in csvs[0]:
        pair = [home / "submissions" / name for home in (whole, broken)]
        if pair[1].is_file() and pair[0].read_bytes() != pair[1].read_bytes():
            failures.append(f"{name}: other bytes")
    left = [
        p
        for pattern in ("**/*.tmp", "artifacts/.building/*", "artifacts/.damaged/*")
        for p in broken.glob(pattern)
    ]
    if left:
        failures.append(f"left behind: {', '.join(str(p.relative_to(broken)) for p in left)}")
    with sqlite3.connect(broken / "mlflow.db") as record:
        running = record.execute("SELECT name FROM runs WHERE status = 'RUNNING'").fetchall()
    record.close()
    if running:
        failures.append(f"MLflow shows as running: {running}")
    return failures


def main(words: list[str] | None = None) -> int:
    """Run one part; 1: something did not hold."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("part", choices=("files", "names", "kills"))
    parser.add_argument("--rounds", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", default="", help="of files: only this kind")
    parser.add_argument("--home", type=Path, help="an empty folder; default: a temporary one")
    options = parser.parse_args(words)
    with tempfile.TemporaryDirectory() as folder:
        home = options.home or Path(folder)
        if options.part == "files":
            logging.disable()  # a warning for every damaged cache
            failures = try_files(options.rounds, options.seed, options.kind)
        elif options.part == "names":
            failures = try_names(home, options.seed)
        else:
            failures = try_kills(home, options.rounds, options.seed)
    for failure in failures:
        print(failure.encode("unicode_escape").decode())
    print(f"{options.part}, seed {options.seed}: {len(failures)} failures")
    return int(bool(failures))


if __name__ == "__main__":
    sys.exit(main())
