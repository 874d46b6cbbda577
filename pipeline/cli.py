"""The command line: one table of commands, from which the parser, the help texts and the dispatch come.

    python -m pipeline COMMAND [key=value ...]      or      podium COMMAND [key=value ...]

Owns the table, logging, and turning errors into exit codes (2: the user's to fix, 130: Ctrl-C). Does not own
what a command does: that is in the `commands.py` of its room. This file imports nothing but the standard
library until a command runs, so `make help` works before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import math
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pipeline.engine.session import Session
    from pipeline.settings.load import Settings

Options = argparse.Namespace
Run = Callable[["Session", Options], None]


@dataclass(frozen=True)
class Option:
    """An option of a command: `--flag` at the command line, `FLAG=` for make.

    Args:
        flag: without the dashes.
        help: what it means.
        how: further arguments for argparse.
    """

    flag: str
    help: str
    how: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Command:
    """A command.

    Args:
        name: at the command line and for make.
        help: one line for people.
        run: does it.
        options: beside `key=value` words.
        make: how make is given the options, for `make help`.
        uses_results: whether results must stay where they are while it runs; `gc` waits for these commands.
    """

    name: str
    help: str
    run: Run
    options: tuple[Option, ...] = ()
    make: str = ""
    uses_results: bool = True


def _build(stage: str) -> Run:
    """A command that builds one stage and prints where its pages are."""

    def run(session: Session, options: Options) -> None:
        session.build_one(stage)

    return run


def _new(session: Session, options: Options) -> None:
    from pipeline.data import commands

    commands.new(session, options)


def _all(session: Session, options: Options) -> None:
    from pipeline import everything

    everything.run(session, options)


def _folds(session: Session, options: Options) -> None:
    from pipeline.data import commands

    commands.folds(session, options)


def _models(session: Session, options: Options) -> None:
    from pipeline.train import commands

    commands.models(session, options)


def _ablate(session: Session, options: Options) -> None:
    from pipeline.train.studies import commands

    commands.ablate(session, options)


def _error_analysis(session: Session, options: Options) -> None:
    from pipeline.errors import commands

    commands.error_analysis(session, options)


def _explain(session: Session, options: Options) -> None:
    from pipeline.explain import commands

    commands.explain(session, options)


def _tune(session: Session, options: Options) -> None:
    from pipeline.tune import commands

    commands.tune(session, options)


def _infer(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.infer(session, options)


def _refit(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.refit(session, options)


def _ensemble(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.ensemble(session, options)


def _distill(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.distill(session, options)


def _score(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.score(session, options)


def _validate(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.validate(session, options)


def _submit(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.submit(session, options)


def _reproduce(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.reproduce(session, options)


def _leaderboard(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.leaderboard(session, options)


def _pin_best(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.pin_best(session, options)


def _final(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.final(session, options)


def _runs(session: Session, options: Options) -> None:
    from pipeline.submit import commands

    commands.runs(session, options)


def _config(session: Session, options: Options) -> None:
    from pipeline.engine import commands

    commands.config(session, options)


def _du(session: Session, options: Options) -> None:
    from pipeline.engine import commands

    commands.du(session, options)


def _gc(session: Session, options: Options) -> None:
    from pipeline.engine import commands

    commands.gc(session, options)


def _pin(session: Session, options: Options) -> None:
    from pipeline.engine import commands

    commands.pin(session, options)


def _score_of(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a score")
    return value


_FLAG = {"action": "store_true"}
_FILE = Option("file", "a CSV in the host's format, or the name of a submission", {"default": ""})

COMMANDS = (
    Command(
        "new",
        "look at a competition's files and write its configuration",
        _new,
        (
            Option("name", "of the competition and its file", {"required": True}),
            Option("images", "folder of images, or of one folder per class", {"required": True}),
            Option("train", "training table; without it: one folder per class"),
            Option("test", "test table or folder; without it: the sample's, or held out"),
            Option("sample", "the host's sample submission"),
        ),
        make="NAME=pets TRAIN=train.csv IMAGES=dir TEST=… SAMPLE=…",
        uses_results=False,
    ),
    Command("all", "everything from EDA to error analysis, then a summary", _all),
    Command("eda", "report on the data, worst harm first", _build("eda")),
    Command("folds", "the fold plan, its health, and whether it is sound", _folds),
    Command("resample", "report of class counts before and after resampling", _build("resample")),
    Command("preview", "what training sees: cropped, preprocessed, augmented", _build("preview")),
    Command(
        "models",
        "what networks cost on this machine, before any training",
        _models,
        (Option("names", 'e.g. "resnet18 vgg16"; without it: configs/model/*', {"default": ""}),),
        make='NAMES="resnet18 torchvision:alexnet"',
    ),
    Command("train", "train the folds of an experiment", _build("train"), make='ARGS="experiment=small_cnn"'),
    Command(
        "ablate",
        "train a grid of settings and compare its arms",
        _ablate,
        (Option("grid", "e.g. configs/ablate/resample_quick.yaml", {"required": True}),),
        make="GRID=configs/ablate/resample_quick.yaml",
    ),
    Command("infer", "predict the test set over all views and write a submission", _infer),
    Command("refit", "train an experiment on all data and write a submission", _refit),
    Command("distill", "train one student on the predictions of the ensemble's members", _distill),
    Command(
        "learning-curve",
        "score against the number of training groups: would more data help?",
        _build("learning_curve"),
    ),
    Command("robustness", "score under growing blur, noise, JPEG and brightness", _build("robustness")),
    Command(
        "tune",
        "search the settings of a stage, and test the winner again",
        _tune,
        (
            Option(
                "stage",
                "eda, resample, train, tta, ensemble, decision, error-analysis, all",
                {"required": True},
            ),
            Option("trials", "in the whole study; else as the space says", {"type": int}),
            Option("timeout", "of the search: 90s, 30m, 2h", {"default": ""}),
            Option("budget", "of all stages together, for --stage all", {"default": ""}),
            Option("jobs", "processes that share the study", {"type": int, "default": 1}),
            Option("space", "a space of your own; else configs/tune/<stage>.yaml", {"default": ""}),
            Option("study", "go on with this very study", {"default": ""}),
            Option("worker", "only run trials of a study", _FLAG),
        ),
        make="STAGE=tta TRIALS=50 TIMEOUT=1h JOBS=2, or STAGE=all BUDGET=30m",
    ),
    Command("ensemble", "soft-vote members, trained where they are missing; write a submission", _ensemble),
    Command(
        "error-analysis",
        "compare the new submission with the best other one",
        _error_analysis,
        (
            Option("a", "the new CSV in the host's format"),
            Option("b", "the CSV to compare it with"),
            Option("verdicts", "answers exported from the report, to take in"),
        ),
        make="A=new.csv B=best.csv, or neither; VERDICTS=judged.csv",
    ),
    Command(
        "explain",
        "what a network looks at: maps, gradients, occlusion",
        _explain,
        (
            Option("id", "ids, separated by commas; without it: the worst errors", {"default": ""}),
            Option("run", "the experiment; without it: the best finished one", {"default": ""}),
            Option("what", "parts, separated by commas; without it: all"),
            Option("fold", "whose network explains test images; without it: 0", {"type": int}),
        ),
        make="ID=17,test/4 RUN=lite0 WHAT=cam,occlusion FOLD=0",
    ),
    Command(
        "score",
        "score submissions on the demo's answers, or note what the host said",
        _score,
        (
            Option("file", "a CSV in the host's format; without it: every submission not yet scored"),
            Option("public", "the public score that the host showed", {"type": _score_of}),
            Option("private", "the private score that the host showed", {"type": _score_of}),
            Option("reveal", "also show the demo's private score; counted", _FLAG),
        ),
        make="FILE=… PUBLIC=0.71 PRIVATE=0.70, or REVEAL=1",
    ),
    Command(
        "leaderboard",
        "out-of-fold against public scores, and why they differ",
        _leaderboard,
        (Option("name", "the submission whose gap is looked into; else the best", {"default": ""}),),
        make="NAME=…",
    ),
    Command(
        "pin-best",
        "mark the best submission by hand",
        _pin_best,
        (Option("name", "a submission of the ledger; none: take the mark away", {"required": True}),),
        make="NAME=…, or NAME=none",
        uses_results=False,
    ),
    Command(
        "final",
        "propose the submissions to select in the end",
        _final,
        (Option("n", "how many the host lets one select", {"type": int, "default": 2}),),
        make="N=2",
    ),
    Command(
        "validate",
        "check any CSV against the host's sample, and repair its form",
        _validate,
        (_FILE, Option("out", "write the same answers in the sample's form here")),
        make="FILE=any.csv OUT=repaired.csv",
    ),
    Command(
        "submit",
        "validate, compare with the best, ask, and hand in",
        _submit,
        (
            _FILE,
            Option("message", "what is said with it; without it: its name and score"),
            Option("yes", "hand in without asking", _FLAG),
        ),
        make='FILE=… MESSAGE="…" YES=1',
    ),
    Command(
        "reproduce",
        "rebuild a submission from its provenance, and compare",
        _reproduce,
        (
            _FILE,
            Option("scratch", "build all again, reuse nothing", _FLAG),
            Option("anyway", "rebuild with other keys, too", _FLAG),
        ),
        make="FILE=… SCRATCH=1 ANYWAY=1",
    ),
    Command("runs", "finished experiments: score, interval, what differs", _runs, uses_results=False),
    Command("config", "resolved settings and where each came from", _config, uses_results=False),
    Command("du", "disk space by kind of result", _du, uses_results=False),
    Command(
        "gc",
        "free results that no submission or pin needs",
        _gc,
        (Option("dry", "only say what would be freed", _FLAG),),
        make="DRY=1",
        uses_results=False,
    ),
    Command(
        "pin",
        "keep a result from gc",
        _pin,
        (Option("key", "start of a key of `make runs`", {"required": True}),),
        make="KEY=…",
        uses_results=False,
    ),
)

# What make does beside the commands.
OTHER_TARGETS = {
    "help": "this list",
    "install": "build the environment, or find it; prints where it is",
    "ui": "serve the MLflow UI on this machine only: PORT=5000 DB=mlflow.db",
    "dashboard": "Optuna's dashboard over all searches, on this machine only: PORT=8080 STUDIES=optuna.db",
    "check": "lint, format, types and the architecture test",
    "test": 'the default tests; TESTS="-k folds" picks some',
    "test-slow": "the whole pipeline on small real data, kill and resume",
    "test-browser": "Chromium over reports and the MLflow UI",
    "test-gpu": "what needs a CUDA device; says so where there is none",
    "test-lowest": "the default tests on the oldest libraries that pyproject.toml allows, torch aside",
    "lock": "pin the whole tree of dependencies anew: UPGRADE=--upgrade takes newer ones",
    "clean": "remove caches and temporary files; never a result",
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="podium" if os.path.basename(sys.argv[0]) == "podium" else "python -m pipeline",  # noqa: PTH119
        description="From raw images to a competition submission, and what to try next.",
        epilog="Settings are key=value words: competition=digits experiment=small_cnn train.epochs=10",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for command in COMMANDS:
        one = commands.add_parser(command.name, help=command.help, description=command.help)
        one.add_argument("settings", nargs="*", metavar="key=value")
        one.add_argument(
            "--rehash", action="store_true", help="read every file again instead of trusting its time"
        )
        for option in command.options:
            one.add_argument(f"--{option.flag}", help=option.help, **option.how)
    return top


def make_help() -> str:
    """The list of make targets."""
    rows = {c.name: f"{c.help}{f': {c.make}' if c.make else ''}" for c in COMMANDS} | OTHER_TARGETS
    return "\n".join(
        ['make TARGET [ARGS="key=value ..."]', *(f"  {n:<15} {text}" for n, text in rows.items())]
    )


def _share_cores() -> None:
    """Let waiting threads of torch sleep while other programs use the cores.

    Spinning is twice as fast on a machine of one's own, and several times slower on a busy one
    (docs/log.md). OpenMP reads this when torch is imported; it changes no result.
    """
    if hasattr(os, "getloadavg") and os.getloadavg()[0] >= (os.cpu_count() or 1):
        os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    _share_cores()
    from pipeline.core.errors import UserError

    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr, force=True)
    try:
        from pipeline.settings.load import load

        run(options, load(options.settings))
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nstopped; what is finished is kept, and the next run continues here", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `make runs | head` closes our stdout; flushing it again at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def run(options: Options, settings: Settings) -> None:
    """Run the command that `options` names, and bring the competition's table in the record up to date."""
    from pipeline.record.store import told_as_storage_error
    from pipeline.stages import open_session
    from pipeline.submit import runs
    from pipeline.train.scoring import SCORED

    logging.getLogger().setLevel(settings.config.runtime.log_level.upper())
    command = next(one for one in COMMANDS if one.name == options.command)
    session = open_session(settings, options.rehash)
    with told_as_storage_error(session.home):
        try:
            with session.using() if command.uses_results else contextlib.nullcontext():
                command.run(session, options)
            if session.seconds.keys() & set(SCORED):
                name = settings.config.competition.name
                session.tracker.standings(name, runs.markdown(session.store, name))
        finally:
            session.close()


if __name__ == "__main__":
    print(make_help())
