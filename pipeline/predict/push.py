"""`make submit FILE=bundles/NAME`: a bundle as a dataset and its notebook, by the Kaggle client.

    make submit FILE=bundles/pets-ensemble-3fa29b DRY=1     shows every call, and makes none that sends
    make submit FILE=bundles/pets-ensemble-3fa29b           asks first

Owns the order: check the bundle, find the client and what it can do, find the user, ask, create the dataset
or a new version of it, wait until the host has it, push the notebook. Does not own the folder
(`predict/bundle.py`), nor calling a client (`submit/hand_in.py`). Every call is shown before it is made.

The notebook runs on the host after that; its CSV is then submitted from there, and the last line says how.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipeline.core.errors import ConfigError, DataError
from pipeline.core.wording import worded
from pipeline.engine.next_step import NEXT
from pipeline.engine.session import Session
from pipeline.pages.command_words import shown, spoken
from pipeline.predict import bundle, folder, texts
from pipeline.record import files, paths
from pipeline.submit import hand_in
from pipeline.submit import texts as submit_texts
from pipeline.submit.hand_in import KAGGLE, Client

# The folder of the home in which a notebook lies while it is pushed.
WORK = Path("work") / "notebook"
METADATA, KERNEL, NOTEBOOK = "dataset-metadata.json", "kernel-metadata.json", "notebook.ipynb"
NO_USER = "INSERT_USERNAME_HERE"
# Words of the client, and options that they must have.
NEEDED = {
    ("datasets", "create"): ("--path", "--dir-mode"),
    ("datasets", "version"): ("--path", "--dir-mode", "--message"),
    ("datasets", "status"): (),
    ("kernels", "push"): ("--path",),
}
USER = re.compile(r"^\W*username: (?!None$)(\S+)\s*$", re.MULTILINE)
VERSION = re.compile(r"Kernel version (\d+)")
# The host unpacks what was sent; asked so often, with so many seconds between.
TIMES, SECONDS = 60, 10.0
READY = "ready"


@dataclass(frozen=True)
class Pushed:
    """What is pushed where.

    Args:
        where: the bundle.
        dataset: user/name of the dataset; the notebook has the same name.
        competition: its name in its URL.
        message: of a version.
    """

    where: Path
    dataset: str
    competition: str
    message: str


def run(session: Session, options: argparse.Namespace) -> None:
    """Push a bundle, if the user confirms.

    Raises:
        DataError: the folder is no bundle or was altered, there is no client or no user, the client lacks a
            command, a call failed, or there is no terminal to ask at.
        ConfigError: no Kaggle competition is named.
    """
    where = Path(options.file)
    manifest = checked(where)
    competition = session.settings.config.competition.submission.kaggle
    if competition is None:
        raise ConfigError(texts.PUSH_NO_COMPETITION, remedy=texts.PUSH_NO_COMPETITION_REMEDY)
    client = _client(session, options.dry)
    dataset = f"{_user(session, client, where)}/{_slug(where)}"
    message = " ".join((options.message or manifest.name).split())
    order = Pushed(where, dataset, competition, message)
    kernel = written(order, session.home / WORK, session.settings.config.runtime.device == "cuda")
    there = client is not None and _status(session, client, dataset) is not None
    calls = calls_of(order, kernel, there)
    size = bundle.size_of(where) / 1e6
    session.say(texts.PUSH_WHAT.format(folder=shown(where), megabytes=size, dataset=dataset))
    for words in calls:
        session.say(submit_texts.COMMAND.format(words=hand_in.shown(words)))
    if options.dry or client is None:
        session.say(submit_texts.DRY_DONE)
        session.say(NEXT.format(command=spoken(f"make submit FILE={shlex.quote(shown(where))}")))
        return
    if not hand_in.confirmed(options.yes, session.language):
        session.say(submit_texts.NOT_SUBMITTED)
        return
    # The client reads from this file whose dataset it is.
    files.write_json(where / METADATA, _metadata(where) | {"id": dataset})
    client.call(calls[0], session.say)
    _wait(session, client, dataset)
    said = client.call(calls[1], session.say)
    found = VERSION.search(said)
    last = submit_words(order, found[1] if found else "1")
    session.say(texts.PUSHED.format(notebook=dataset, words=hand_in.shown(last)))


def checked(where: Path) -> folder.Manifest:
    """The manifest of the predictor of a bundle, after comparing every digest.

    Raises:
        DataError: it is no bundle, files are missing or have changed; all of them are named.
    """
    missing = [name for name in (METADATA, NOTEBOOK, bundle.PREDICTOR) if not (where / name).exists()]
    if missing:
        headline = texts.NO_BUNDLE.format(folder=where)
        raise DataError(
            headline, [texts.CHANGED_MISSING.format(name=n) for n in missing], texts.BUNDLE_REMEDY
        )
    return folder.read(where / bundle.PREDICTOR)


def _client(session: Session, dry: bool) -> Client | None:
    """The Kaggle client with the commands that are needed; a rehearsal goes on without one."""
    if shutil.which(KAGGLE) is None:
        headline = submit_texts.NO_COMMAND.format(program=KAGGLE)
        if not dry:
            raise DataError(headline, remedy=submit_texts.INSTALL_KAGGLE)
        session.say(submit_texts.DRY_NO_CLIENT.format(reason=headline, remedy=submit_texts.INSTALL_KAGGLE))
        return None
    faults = []
    for words, wanted in NEEDED.items():
        code, said = _asked(session, [KAGGLE, *words, "--help"])
        lacking = [option for option in wanted if option not in said]
        if code or lacking:
            faults.append(
                texts.PUSH_LACKS.format(command=" ".join(words), options=" ".join(lacking) or "--help")
            )
    if faults:
        raise DataError(
            worded(texts.PUSH_OTHER_CLIENT, faults=len(faults)), faults, submit_texts.INSTALL_KAGGLE
        )
    return Client((KAGGLE,))


def _asked(session: Session, words: list[str]) -> tuple[int, str]:
    """Exit code and output of a call that only asks; it is shown, too."""
    session.say(texts.PUSH_ASKS.format(words=hand_in.shown(words)))
    try:
        done = subprocess.run(
            words, stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace"
        )
    except OSError as error:
        raise DataError(submit_texts.CANNOT_RUN.format(program=words[0], reason=error.strerror)) from error
    return done.returncode, done.stdout + done.stderr


def _metadata(where: Path) -> dict[str, Any]:
    try:
        found = files.read_json(where / METADATA)
        user, _, slug = str(found["id"]).partition("/")
        assert user and slug, "checked below"
    except (OSError, ValueError, KeyError, TypeError, AssertionError) as error:
        headline = texts.PUSH_METADATA.format(path=where / METADATA)
        raise DataError(headline, remedy=texts.BUNDLE_REMEDY) from error
    return dict(found)


def _slug(where: Path) -> str:
    return str(_metadata(where)["id"]).partition("/")[2]


def _user(session: Session, client: Client | None, where: Path) -> str:
    """The user's name: that of the bundle's file if it was edited, else the client's.

    Raises:
        DataError: neither names one.
    """
    named = str(_metadata(where)["id"]).partition("/")[0]
    if named != NO_USER:
        return named
    if client is None:
        return "USER"
    _, said = _asked(session, [KAGGLE, "config", "view"])
    found = USER.search(said)
    if found is None:
        raise DataError(texts.PUSH_NO_USER, remedy=texts.PUSH_NO_USER_REMEDY.format(path=where / METADATA))
    return found[1]


def written(order: Pushed, work: Path, gpu: bool) -> Path:
    """The folder of the notebook for the client."""
    name = order.dataset.partition("/")[2]
    made = paths.below(work, name)
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir(parents=True)
    shutil.copyfile(order.where / NOTEBOOK, made / NOTEBOOK)
    kernel = {
        "id": order.dataset,
        "title": name,
        "code_file": NOTEBOOK,
        "language": "python",
        "kernel_type": "notebook",
        "is_private": True,
        "enable_gpu": gpu,
        "enable_internet": False,
        "dataset_sources": [order.dataset],
        "competition_sources": [order.competition],
        "kernel_sources": [],
    }
    (made / KERNEL).write_text(json.dumps(kernel, indent=2), encoding="utf-8")
    return made


def calls_of(order: Pushed, kernel: Path, there: bool) -> tuple[list[str], list[str]]:
    """The calls that send: the dataset, or a new version if it is there already; then the notebook."""
    sent = ["-p", str(order.where), "--dir-mode", "zip"]
    create = [KAGGLE, "datasets", "create", *sent]
    if there:
        create = [KAGGLE, "datasets", "version", *sent, "-m", order.message]
    return create, [KAGGLE, "kernels", "push", "-p", str(kernel)]


def submit_words(order: Pushed, version: str) -> list[str]:
    """The call that submits what the notebook wrote, once it has run."""
    words = [KAGGLE, "competitions", "submit", "-c", order.competition, "-k", order.dataset, "-v", version]
    return [*words, "-f", "submission.csv", "-m", order.message]


def _status(session: Session, client: Client, dataset: str) -> str | None:
    """What the host says of a dataset; None: it has none of this name."""
    code, said = _asked(session, [*client.template, "datasets", "status", dataset])
    return None if code or not said.strip() else said.strip().splitlines()[-1].strip()


def _wait(session: Session, client: Client, dataset: str) -> None:
    """Wait until the host has unpacked the dataset: a notebook that starts before does not see it.

    Raises:
        DataError: it takes too long.
    """
    for _ in range(TIMES):
        if _status(session, client, dataset) == READY:
            return
        time.sleep(SECONDS)
    raise DataError(
        texts.PUSH_NOT_READY.format(dataset=dataset, minutes=TIMES * SECONDS / 60),
        remedy=texts.PUSH_NOT_READY_REMEDY,
    )
