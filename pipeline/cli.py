"""The command line: one table of commands, from which the parser, the help texts and the dispatch come.

    python -m pipeline COMMAND [key=value ...]      or      podium COMMAND [key=value ...]

Owns the table, logging, and turning errors into exit codes (2: for the user to fix, 130: Ctrl-C). Does not
own what a command does: that is in the `commands.py` of its room. This file imports nothing but the standard
library until a command runs, so `make help` works before anything is installed.
"""

from __future__ import annotations

import argparse
import contextlib
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
Run = Callable[["Session", Options], object]


@dataclass(frozen=True)
class Option:
    """An option of a command: `--flag` at the command line, `FLAG=` for make.

    Args:
        flag: without the dashes.
        help: one line for `--help`.
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
        help: one line for `--help` and `make help`.
        options: besides `key=value` words.
        make: how to pass the options to make, for `make help`.
        uses_results: whether results must not be freed while it runs; `gc` waits for these commands.
        names_settings: whether `--name` writes the overrides as an experiment file before it runs.
        about_current: whether it is about the current competition if its words name none.
        on_home: whether it changes what the home page shows, also if it builds nothing.
        then: the command that it advises as the next one; empty: the room says which, or there is none.
    """

    name: str
    help: str
    options: tuple[Option, ...] = ()
    make: str = ""
    uses_results: bool = True
    names_settings: bool = False
    about_current: bool = True
    on_home: bool = False
    then: str = ""


def function_of(command: str) -> Run:
    """The function of a command, often building the stage of its name; imports its room only, no torch."""
    match command:
        case "eda" | "resample" | "preview" | "learning-curve" | "robustness":
            return lambda session, options: session.build_one(command.replace("-", "_"))
        case "train":
            from pipeline.engine.next_step import after_training

            return _or_in_time(command, lambda s, options: after_training(s, s.build_one("train")))
        case "use":
            from pipeline.data.commands import use

            return use
        case "all":
            from pipeline.everything import run

            return run
        case "new" | "folds":
            from pipeline.data import commands as data

            return {"new": data.new, "folds": data.folds}[command]
        case "models" | "ablate":
            from pipeline.train import commands as train

            return {"models": train.models, "ablate": train.ablate}[command]
        case "error-analysis":
            from pipeline.errors.commands import error_analysis

            return error_analysis
        case "explain":
            from pipeline.explain.commands import explain

            return explain
        case "improve":
            from pipeline.plan.commands import improve

            return improve
        case "tune":
            from pipeline.tune.commands import tune

            return tune
        case "config" | "du" | "gc" | "pin":
            from pipeline.engine import commands as engine

            return {"config": engine.config, "du": engine.du, "gc": engine.gc, "pin": engine.pin}[command]
        case "home" | "serve":
            from pipeline.home import commands as home

            return {"home": home.home, "serve": home.served}[command]
        case "predict" | "oof" | "bundle" | "export" | "weights" | "submit":
            from pipeline.predict import commands as new

            made: dict[str, Run] = {"predict": new.predict, "bundle": new.bundle, "export": new.export}
            return (made | {"oof": new.oof, "weights": new.weights, "submit": new.submit})[command]
    from pipeline.submit import commands as submit

    ends_in_a_submission: dict[str, Run] = {
        "infer": submit.infer,
        "refit": submit.refit,
        "distill": submit.distill,
        "ensemble": _or_in_time(command, submit.ensemble),
        "score": submit.score,
        "leaderboard": submit.leaderboard,
        "pin-best": submit.pin_best,
        "final": submit.final,
        "validate": submit.validate,
        "reproduce": submit.reproduce,
        "runs": submit.runs,
    }
    return ends_in_a_submission[command]


def _or_in_time(command: str, run: Run) -> Run:
    """The function of a command, or with `--time` what spends that time."""

    def either(session: Session, options: Options) -> object:
        if not options.time and not options.portfolio:
            return run(session, options)
        from pipeline.plan import commands as plan

        return {"train": plan.train_in_time, "ensemble": plan.ensemble_in_time}[command](session, options)

    return either


def _score_of(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is not a score")
    return value


_FLAG = {"action": "store_true"}
_NAMED = Option("name", "write the overrides as an experiment file of this name, and use it", {"default": ""})
_IN_TIME = (
    Option("time", "how much time to spend on the best score: 30m, 2h", {"default": ""}),
    Option("portfolio", "with TIME: a file of configs/portfolio/; default: by the device"),
)
_FILE = Option("file", "a CSV in the host's format, or the name of a submission", {"default": ""})

COMMANDS = (
    Command(
        "new",
        "inspect a competition's files and write its configuration",
        (
            Option("name", "name of the competition and of its configuration file", {"required": True}),
            Option(
                "images",
                "folder of images, of class folders, or a file of several images",
                {"required": True},
            ),
            Option("train", "training table; default: one subfolder per class"),
            Option("test", "test table or folder; default: the ids of the sample, or held-out images"),
            Option("sample", "the host's sample submission"),
            Option("label", "column of the label, or several separated by commas; default: guessed"),
            Option("encoding", "encoding of tables that are not UTF-8, e.g. cp949; default: found"),
            Option("target", "exclusive, labels, values or shares; default: guessed", {"default": ""}),
            Option("group", "column of the group, or none; default: guessed", {"default": ""}),
            Option(
                "image_table",
                "table with a row for each image, beside TRAIN with a row a sample; default: found",
            ),
        ),
        make="NAME=pets TRAIN=train.csv IMAGES=dir TEST=… SAMPLE=… LABEL=… GROUP=… TARGET=… ENCODING=… …",
        uses_results=False,
        about_current=False,
        on_home=True,
    ),
    Command(
        "use",
        "make a competition the current one, which commands are about; without NAME: list them",
        (Option("name", "of a file of configs/competition/", {"default": ""}),),
        make="NAME=pets",
        uses_results=False,
        about_current=False,
        on_home=True,
    ),
    Command("all", "run everything from EDA to error analysis, then print a summary", _IN_TIME, "TIME=2h"),
    Command("eda", "report on the data, the most harmful findings first", then="train"),
    Command(
        "folds",
        "make the fold plan, and check it",
        (Option("out", "also write the fold of each image as CSV or Parquet, for team mates"),),
        make="OUT=folds.csv",
        then="train",
    ),
    Command("resample", "report class counts before and after resampling", then="train"),
    Command("preview", "show training images: cropped, preprocessed, augmented", then="train"),
    Command(
        "models",
        "measure what networks cost on this machine, before any training",
        (Option("names", 'e.g. "resnet18 vgg16"; default: configs/model/*', {"default": ""}),),
        make='NAMES="resnet18 torchvision:alexnet"',
        then="train",
    ),
    Command(
        "train",
        "train the folds of an experiment",
        (_NAMED, *_IN_TIME),
        make='ARGS="experiment=small_cnn", or NAME=large ARGS="images.size=96"; TIME=30m',
        names_settings=True,
    ),
    Command(
        "ablate",
        "train a grid of settings and compare the results",
        (Option("grid", "e.g. configs/ablate/resample_quick.yaml", {"required": True}),),
        make="GRID=configs/ablate/resample_quick.yaml",
    ),
    Command(
        "infer",
        "predict the test set with all views (TTA) and write a submission",
        (_NAMED,),
        make='ARGS="experiment=small_cnn", or NAME=large ARGS="images.size=96"',
        names_settings=True,
    ),
    Command("refit", "train an experiment on all data and write a submission"),
    Command("distill", "train one student on the predictions of the ensemble's members"),
    Command("learning-curve", "score by number of training groups: would more data help?", then="train"),
    Command(
        "robustness",
        "score under increasing blur, noise, JPEG compression and brightness",
        then="error-analysis",
    ),
    Command(
        "tune",
        "search the settings of a stage, and re-test the winner",
        (
            Option(
                "stage",
                "eda, resample, train, tta, ensemble, decision, error-analysis, all",
                {"required": True},
            ),
            Option("trials", "trials in the whole study; default: as in the search space", {"type": int}),
            Option(
                "time", "time of the search: 90s, 30m, 2h; of --stage all: of all together", {"default": ""}
            ),
            *(Option(former, argparse.SUPPRESS, {"default": ""}) for former in ("timeout", "budget")),
            Option("jobs", "trials that run at once, in processes of their own", {"type": int, "default": 1}),
            Option("space", "search space; default: configs/tune/<stage>.yaml", {"default": ""}),
            Option("study", "name of a study to continue", {"default": ""}),
        ),
        make="STAGE=tta TRIALS=50 TIME=1h JOBS=2, or STAGE=all TIME=30m",
    ),
    Command("ensemble", "blend the members, train missing ones; write a submission", _IN_TIME, "TIME=2h"),
    Command("improve", "carry out what the error report advises, for some time", _IN_TIME[:1], "TIME=1h"),
    Command(
        "error-analysis",
        "compare a submission, the newest one by default, with the best other one",
        (
            Option("a", "the new CSV in the host's format; default: the blend of ARGS, or the newest CSV"),
            Option("b", "the CSV to compare it with"),
            Option("verdicts", "a file of answers exported from the report, to import"),
            Option("label", "of labels that hold together: the one that the report is about"),
        ),
        make="A=new.csv B=best.csv; VERDICTS=judged.csv; LABEL=one",
    ),
    Command(
        "explain",
        "show what a network looks at: maps, gradients, occlusion",
        (
            Option("id", "ids, separated by commas; default: the worst errors", {"default": ""}),
            Option("run", "the experiment; default: the best finished one", {"default": ""}),
            Option("what", "panels, separated by commas; default: all"),
            Option("label", "of labels or values: the one that is explained; default: the worst out of fold"),
            Option("fold", "fold whose network explains test images; default: 0", {"type": int}),
        ),
        make="ID=17,test/4 RUN=lite0 WHAT=cam,occlusion FOLD=0 LABEL=one",
        then="error-analysis",
    ),
    Command(
        "score",
        "score submissions on local answers, or record the host's scores",
        (
            Option("file", "a CSV in the host's format; default: all without a score"),
            Option("public", "the public score that the host showed", {"type": _score_of}),
            Option("private", "the private score that the host showed", {"type": _score_of}),
            Option("reveal", "also show the private score of a demo; each look is counted", _FLAG),
        ),
        make="FILE=… PUBLIC=0.71 PRIVATE=0.70, or REVEAL=1",
        then="leaderboard",
        on_home=True,
    ),
    Command(
        "leaderboard",
        "compare out-of-fold and public scores, and explain the difference",
        (Option("name", "the submission whose difference is explained; default: the best", {"default": ""}),),
        make="NAME=…",
        then="final",
    ),
    Command(
        "pin-best",
        "mark the best submission by hand",
        (Option("name", "a submission of the ledger; none: remove the mark", {"required": True}),),
        make="NAME=…, or NAME=none",
        uses_results=False,
        then="error-analysis",
        on_home=True,
    ),
    Command(
        "final",
        "propose the submissions to select at the end",
        (Option("n", "number of submissions that the host lets you select", {"type": int, "default": 2}),),
        make="N=2",
    ),
    Command(
        "validate",
        "check a CSV against the host's sample, and repair its form",
        (_FILE, Option("out", "path for a CSV with the same answers in the sample's form")),
        make="FILE=any.csv OUT=repaired.csv",
    ),
    Command(
        "submit",
        "validate a CSV, compare it with the best, ask, and submit it; or push a bundle",
        (
            Option("file", "a CSV in the host's format, a submission's name, or a bundle", {"default": ""}),
            Option("message", "message for the host; default: the name and score"),
            Option("yes", "submit without asking", _FLAG),
            Option("dry", "show everything but send nothing", _FLAG),
        ),
        make='FILE=… MESSAGE="…" YES=1, or DRY=1; FILE=bundles/NAME',
        on_home=True,
    ),
    Command(
        "reproduce",
        "rebuild a submission from its provenance, and compare",
        (
            _FILE,
            Option("scratch", "build everything again, reuse nothing", _FLAG),
            Option("anyway", "rebuild even if keys differ now", _FLAG),
        ),
        make="FILE=… SCRATCH=1 ANYWAY=1",
        about_current=False,
    ),
    Command(
        "predict",
        "predict any images with everything that a submission is made of",
        (
            Option("file", "a submission, or the folder of a predictor", {"default": ""}),
            Option("images", "a folder of images, or a CSV with a row for each image", {"default": ""}),
            Option("root", "where the files that the CSV names lie; default: beside it"),
            Option("table", "the table of a folder's images, with metadata or groups"),
            Option("out", "the table to write, .csv or .parquet; default: predictions.csv"),
        ),
        make="FILE=… IMAGES=folder TABLE=test.csv OUT=predictions.csv, or IMAGES=test.csv ROOT=folder",
        about_current=False,
    ),
    Command(
        "bundle",
        "make a folder with which a notebook predicts the hidden test set offline",
        (
            Option("file", "a submission", {"default": ""}),
            Option("limit", "time limit of the notebook: 9h, 30m; default: 9h"),
            Option("out", "the folder to make; default: bundles/NAME of the home"),
            Option("wheels", "wheels to add besides Podium's; none: no other; default: timm, safetensors"),
            Option("python", "version of the host's Python, for wheels; default: 3.11"),
            Option("hidden", "number of hidden images; default: those of the sample", {"type": int}),
            Option("test", "a folder laid out as the host's; default: the competition's own"),
            Option("oldest", "rehearse once more with the oldest libraries that it works with", _FLAG),
        ),
        make='FILE=… LIMIT=9h HIDDEN=20000 WHEELS="timm==1.0.31" HOST_PYTHON=3.12 TEST=dir OUT=dir OLDEST=1',
        about_current=False,
    ),
    Command(
        "export",
        "write a submission as ONNX, a torch program or an MLflow model, with a model card",
        (
            Option("file", "a submission, or the folder of a predictor", {"default": ""}),
            Option("format", "onnx, pt2 or mlflow; default: onnx"),
            Option("out", "the folder to make; default: exports/NAME-FORMAT of the home"),
            Option("int8", "of onnx: 8 bits, with the measured loss", _FLAG),
            Option("images", "images that calibrate 8 bits; default: the competition's test set"),
        ),
        make="FILE=… FORMAT=onnx|pt2|mlflow INT8=1 OUT=folder",
        about_current=False,
    ),
    Command(
        "weights",
        "write pretrained weights as one file, for a machine without a network",
        (
            Option("model", "a network, as model.name", {"default": ""}),
            Option("source", "hub or package:NAME; default: hub"),
            Option("out", "the folder to write into; default: weights"),
        ),
        make="MODEL=resnet18 OUT=folder SOURCE=hub",
        uses_results=False,
        about_current=False,
    ),
    Command(
        "oof",
        "write a submission's out-of-fold and test probabilities, for team mates",
        (_FILE, Option("out", "a .csv or .parquet; default: NAME-oof.csv")),
        make="FILE=… OUT=mine.csv",
        about_current=False,
    ),
    Command(
        "home",
        "write the home page: best run, what failed, what to do next, all reports",
        uses_results=False,
        about_current=False,
    ),
    Command(
        "serve",
        "show the home page on this machine, up to date while something runs",
        (Option("port", "of 127.0.0.1; default: 8000", {"default": "8000"}),),
        make="PORT=8000",
        uses_results=False,
        about_current=False,
    ),
    Command("runs", "list finished experiments: score, interval, differing settings", uses_results=False),
    Command("config", "print the resolved settings and the source of each", uses_results=False, then="train"),
    Command("du", "print disk space by kind of result", uses_results=False, then="gc DRY=1"),
    Command(
        "gc",
        "delete results that no submission or pin needs",
        (Option("dry", "only print what would be deleted", _FLAG),),
        make="DRY=1",
        uses_results=False,
        on_home=True,
    ),
    Command(
        "pin",
        "protect a result from gc",
        (Option("key", "start of a key from `make runs`", {"required": True}),),
        make="KEY=…",
        uses_results=False,
        then="gc DRY=1",
    ),
)


class _Parser(argparse.ArgumentParser):
    """A parser whose messages, which repeat what was typed, are printable."""

    def _print_message(self, message: str, file: Any = None) -> None:
        from pipeline.core.terminal import printable

        super()._print_message(printable(message), file)


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = _Parser(
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
            "--rehash",
            action="store_true",
            help="read every file again instead of trusting its size and times",
        )
        one.set_defaults(chosen="", is_process=False)
        for option in command.options:
            one.add_argument(f"--{option.flag}", help=option.help, **option.how)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    from pipeline.core import errors, language, terminal
    from pipeline.core.errors import UserError
    from pipeline.engine import environment

    if arguments is None:
        terminal.take_over()
    terminal.prepare()
    options = parser().parse_args(arguments)
    options.is_process = arguments is None
    environment.wait_politely()
    tongue = language.of_environment(os.environ)
    try:
        environment.refuse()
        from pipeline.settings import current
        from pipeline.settings.load import CONFIGS, load

        command = next(one for one in COMMANDS if one.name == options.command)
        if command.about_current:
            options.settings, typed = current.words_of(options.settings, CONFIGS), options.settings
            options.chosen = current.how_chosen(typed, options.settings)
        settings = load(options.settings)
        tongue = settings.config.report.language
        run(options, settings)
    except UserError as error:
        shown = terminal.printable(errors.told(error, tongue))
        print(terminal.painted(shown, errors.told(error, language.ENGLISH), sys.stderr), file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\n{language.say(errors.STOPPED, tongue)}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # `make runs | head` closes our stdout; flushing it again at exit would complain.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    return 0


def run(options: Options, settings: Settings) -> None:
    """Run the command that `options` names, and update the competition's table in the record."""
    from pipeline.core import terminal
    from pipeline.engine import next_step
    from pipeline.home.commands import at_the_end
    from pipeline.record import leftovers
    from pipeline.record.store import told_as_storage_error
    from pipeline.settings import named
    from pipeline.stages import open_session
    from pipeline.submit import ranking
    from pipeline.train.scoring import SCORED

    terminal.listen(settings.config.runtime.log_level.upper(), settings.config.report.language)
    command = next(one for one in COMMANDS if one.name == options.command)
    written = None
    if command.names_settings and options.name:
        settings, written = named.save(settings, options.name)
    session = open_session(settings, options.rehash)
    with told_as_storage_error(session.home), at_the_end(session, command.on_home):
        leftovers.clear(session.home, session.store, session.tracker, settings.folder)
        try:
            session.progress.command = command.name
            if command.about_current:
                next_step.say_competition(session, options.chosen)
                session.progress.competition = settings.config.competition.name
                session.progress.typed = next_step.typed(session, options, [o.flag for o in command.options])
            if written is not None:
                next_step.say_written(session, written)
            if command.uses_results:
                session.executor.check(session)
            with session.using() if command.uses_results else contextlib.nullcontext():
                function_of(command.name)(session, options)
            if command.then:
                next_step.say(session, command.then)
            if session.seconds.keys() & {*SCORED, "decide"}:
                name = settings.config.competition.name
                session.tracker.put_below(name, ranking.below(session.store, name))
                session.tracker.standings(name, ranking.markdown(session.store, name))
        finally:
            session.close()
