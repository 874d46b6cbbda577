"""A folder to be uploaded to a host, with which a notebook predicts the hidden test set without a network.

    predictor/              everything that the submission is made of
    wheels/                 Podium without its dependencies, and what the host's image lacks
    LICENSES/               of Podium, of the wheels, and where pretrained weights come from
    notebook.ipynb          installs from the folder, predicts, writes submission.csv
    dataset-metadata.json   for `kaggle datasets create`
    README.md               what is in it, and what the rehearsal measured

Owns making the folder. Does not own the notebook (`predict/notebook.py`), what it runs (`predict/hidden.py`)
nor the rehearsal (`predict/rehearsal.py`). Imports no torch.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import tempfile
import uuid
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pipeline.core.errors import ConfigError, DataError, StorageError
from pipeline.core.wording import worded
from pipeline.predict import folder, notebook, texts
from pipeline.predict.notebook import Places
from pipeline.record import files

# What a notebook of the host may lack, or have in another version: networks are built by timm.
WHEELS, OF_TREES = ("timm", "safetensors"), ("lightgbm", "narwhals")
# The host's Python and platform, for wheels with compiled code.
PYTHON, OLDEST_MINOR = "3.11", 11
# A host's image of the last years has glibc 2.28 or later.
PLATFORMS = tuple(
    f"manylinux{name}_x86_64" for name in ("_2_28", "_2_27", "_2_24", "_2_17", "2014", "2010", "1")
)
PREDICTOR, WHEEL_FOLDER, LICENSES = "predictor", "wheels", "LICENSES"
NONE = "none"
# What a dataset of the host may have, bytes.
MOST_BYTES = 100e9
# Files of the checkout of which the wheel is made.
SOURCES = ("pipeline", "configs", "pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE")
MORE_SOURCES = ("CHANGELOG.md", "CONTRIBUTING.md", "requirements.lock")


@dataclass(frozen=True)
class Order:
    """What is bundled.

    Args:
        predictor: the folder of the predictor.
        limit: of the notebook, as text.
        wheels: requirements whose wheels are added.
        python: version of the host's Python, such as 3.11.
        places: of the host's files.
    """

    predictor: Path
    limit: str
    wheels: tuple[str, ...]
    python: str
    places: Places


def wheels_of(text: str | None, trees: bool = False) -> tuple[str, ...]:
    """The requirements of an option: words separated by blanks or commas; `none`; None: the usual ones.

    `trees`: whether boosted trees are a member.
    """
    if text is None:
        return tuple(pinned(name) for name in (*WHEELS, *(OF_TREES if trees else ())))
    words = [word for word in re.split(r"[\s,]+", text) if word]
    return () if words == [NONE] else tuple(words)


def pinned(name: str) -> str:
    """The requirement of the version that is installed here."""
    try:
        return f"{name}=={version(name)}"
    except PackageNotFoundError:
        return name


def make(order: Order, where: Path) -> None:
    """Make the folder `where`; one that is there is replaced when the new one is complete.

    Raises:
        DataError: Podium's sources are not there, or its wheel cannot be built.
        StorageError: wheels cannot be fetched.
    """
    where.parent.mkdir(parents=True, exist_ok=True)
    draft = where.parent / f".{where.name}.{uuid.uuid4().hex[:8]}"
    (draft / WHEEL_FOLDER).mkdir(parents=True)
    try:
        shutil.copytree(order.predictor, draft / PREDICTOR)
        podium_wheel(draft / WHEEL_FOLDER)
        fetch(order.wheels, order.python, draft / WHEEL_FOLDER)
        manifest = folder.read(draft / PREDICTOR)
        licences(draft, manifest)
        files.write_json(draft / "notebook.ipynb", notebook.of(order.limit, order.places, manifest.name))
        files.write_json(draft / "dataset-metadata.json", _metadata(manifest.name))
        _refuse_too_large(draft)
        if where.exists():
            shutil.rmtree(where)
        draft.replace(where)
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def _metadata(name: str) -> dict[str, object]:
    slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:46]
    return {"title": slug, "id": f"INSERT_USERNAME_HERE/{slug}", "licenses": [{"name": "other"}]}


def _refuse_too_large(draft: Path) -> None:
    total = size_of(draft)
    if total > MOST_BYTES:
        raise StorageError(
            texts.BUNDLE_TOO_LARGE.format(gigabytes=total / 1e9, most=MOST_BYTES / 1e9),
            remedy=texts.BUNDLE_TOO_LARGE_REMEDY,
        )


def size_of(where: Path) -> int:
    """Bytes of all files of a folder."""
    return sum(path.stat().st_size for path in where.rglob("*") if path.is_file())


def checkout() -> Path:
    """The folder of Podium's sources.

    Raises:
        DataError: Podium runs from an installed package.
    """
    import pipeline

    found = Path(pipeline.__file__).resolve().parent.parent
    missing = [name for name in SOURCES if not (found / name).exists()]
    if missing:
        raise DataError(texts.NO_SOURCES.format(folder=found), missing, texts.NO_SOURCES_REMEDY)
    return found


def podium_wheel(out: Path) -> Path:
    """Podium's wheel, built of a copy of the sources without network.

    Raises:
        DataError: there are no sources, or pip failed.
    """
    source = checkout()
    with tempfile.TemporaryDirectory() as temporary:
        copy = Path(temporary) / "source"
        copy.mkdir()
        ignore = shutil.ignore_patterns("__pycache__")
        for name in (*SOURCES, *MORE_SOURCES):
            if (source / name).is_dir():
                shutil.copytree(source / name, copy / name, ignore=ignore)
            elif (source / name).is_file():
                shutil.copyfile(source / name, copy / name)
        words = ["--no-deps", "--no-build-isolation", "--no-index", "--quiet", "--wheel-dir", str(out)]
        done = pip("wheel", *words, str(copy))
    if done.returncode:
        raise DataError(texts.WHEEL_FAILED, _last_lines(done.stderr), texts.WHEEL_FAILED_REMEDY)
    return next(out.glob("podium-*.whl"))


def checked_python(text: str) -> str:
    """The version of the host's Python, as `3.12`.

    Raises:
        ConfigError: it is no such version, or older than Podium's.
    """
    found = re.fullmatch(r"3\.(\d{1,2})(\.\d+)?", text.strip())
    if found is None or int(found[1]) < OLDEST_MINOR:
        raise ConfigError(texts.NO_PYTHON.format(python=text), remedy=texts.NO_PYTHON_REMEDY)
    return f"3.{found[1]}"


def fetch(wheels: Sequence[str], python: str, out: Path) -> None:
    """Fetch wheels for the host's Python, without their dependencies.

    Raises:
        StorageError: pip cannot fetch some; for each of them it is said why.
    """
    if not wheels or not _download(wheels, python, out).returncode:
        return
    faults = []
    for wheel in wheels:
        done = _download([wheel], python, out)
        if done.returncode:
            faults.append(why_not(wheel, python, done.stderr))
    if faults:
        headline = worded(texts.FETCH_FAILED, wheels=len(faults), python=python)
        raise StorageError(headline, faults, texts.FETCH_FAILED_REMEDY)


def _download(wheels: Sequence[str], python: str, out: Path) -> subprocess.CompletedProcess[str]:
    words = ["--no-deps", "--only-binary=:all:", "--quiet", "--retries", "1", "--timeout", "30"]
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    return pip("download", *words, "--dest", str(out), "--python-version", python, *platforms, *wheels)


def why_not(wheel: str, python: str, said: str) -> str:
    """Why pip fetched no wheel, in one sentence, from what it said."""
    if re.search(
        r"Failed to establish a new connection|ConnectTimeout|Read timed out|ProxyError|SSLError", said
    ):
        return texts.NO_INDEX.format(wheel=wheel)
    versions = re.search(r"\(from versions: ([^)]*)\)", said)
    if versions is None:
        last = next((line for line in reversed(said.splitlines()) if line.startswith("ERROR")), said[-200:])
        return texts.FETCH_SAID.format(wheel=wheel, said=last.removeprefix("ERROR: ").strip())
    if versions[1].strip() in ("", "none"):
        return texts.NO_WHEEL.format(wheel=wheel, python=python)
    newest = versions[1].rsplit(",", 1)[-1].strip()
    return texts.NO_SUCH_VERSION.format(wheel=wheel, python=python, newest=newest)


def pip(*words: str) -> subprocess.CompletedProcess[str]:
    """The result of a command of this environment's pip."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *words]
    return subprocess.run(command, capture_output=True, text=True)


def _last_lines(text: str, most: int = 5) -> list[str]:
    return [line for line in text.splitlines() if line.strip()][-most:]


def licences(draft: Path, manifest: folder.Manifest) -> None:
    """Copy the licences of Podium and of the wheels, and write where the weights come from."""
    out = draft / LICENSES
    out.mkdir()
    for wheel in sorted((draft / WHEEL_FOLDER).glob("*.whl")):
        with zipfile.ZipFile(wheel) as archive:
            for name in archive.namelist():
                if re.search(r"\.dist-info/(licenses/)?(LICEN[CS]E|COPYING|NOTICE)[^/]*$", name, re.I):
                    project = wheel.name.split("-")[0]
                    (out / f"{project}-{Path(name).name}").write_bytes(archive.read(name))
    rows = [
        texts.LICENCE_ROW.format(member=m.name, model=m.model["name"], weights=m.start or "none")
        for m in manifest.members
    ]
    (out / "WEIGHTS.md").write_text(texts.LICENCE_HEAD + "".join(rows), encoding="utf-8")


def cells(where: Path) -> list[str]:
    """The sources of the notebook's code cells."""
    record = json.loads((where / "notebook.ipynb").read_text(encoding="utf-8"))
    return ["".join(cell["source"]) for cell in record["cells"] if cell["cell_type"] == "code"]
