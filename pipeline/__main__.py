"""`python -m pipeline COMMAND [key=value ...]`: words in, exit code out.

Owns: the command line, logging, and turning errors into exit codes (2: yours to mend, 130: Ctrl-C).
Does not own what a command does (`commands.py`). `--help` imports no torch.
"""

from __future__ import annotations

import argparse
import logging
import math
import os
import sys
from collections.abc import Sequence

COMMANDS = {
    "new": "look at a competition's files and write its configuration",
    "all": "everything: EDA to error analysis, then a summary",
    "eda": "report on the data, worst harm first",
    "folds": "the fold plan, its health, and whether it is sound",
    "resample": "report of class counts before and after resampling",
    "preview": "what training sees: cropped, preprocessed, augmented",
    "models": "what networks cost on this machine, before any training",
    "ablate": "train a grid of settings and compare its arms",
    "train": "train the folds of an experiment",
    "infer": "predict the test set and the out-of-fold images over all views",
    "distill": "train one student on what the ensemble's members say, and compare it with the blend",
    "refit": "train an experiment on all data and predict the test set; its score is its folds'",
    "learning-curve": "score against the number of training groups: would more data help?",
    "robustness": "out-of-fold score under growing blur, noise, JPEG and brightness",
    "tune": "search a stage's settings, test the winner again, write it as an experiment",
    "ensemble": "soft-vote finished members; missing ones are trained",
    "error-analysis": "compare the newest submission with the best other one",
    "explain": "what a network looks at: maps, gradients, occlusion",
    "score": "score submissions on the demo's answers, or note what the host said",
    "validate": "check any CSV against the host's sample, and mend its form",
    "submit": "validate, compare with the best, ask, and hand in",
    "reproduce": "rebuild a submission from its provenance, and compare",
    "leaderboard": "out-of-fold against public scores, and what lies behind the gap",
    "pin-best": "mark the best submission by hand",
    "final": "propose the submissions to select in the end",
    "runs": "table of finished experiments",
    "config": "resolved settings and where each came from",
    "du": "disk space by kind of result",
    "gc": "free results that no submission or pin needs",
    "pin": "keep a result from gc",
}


def _score(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise argparse.ArgumentTypeError(f"{text} is no score")
    return value


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(
        prog="python -m pipeline",
        description="From raw images to a competition submission, and what to try next.",
        epilog="Settings are key=value words: competition=digits experiment=small_cnn train.epochs=10",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, what in COMMANDS.items():
        one = commands.add_parser(name, help=what, description=what)
        one.add_argument("settings", nargs="*", metavar="key=value")
        one.add_argument(
            "--rehash", action="store_true", help="read every file again instead of trusting its mtime"
        )
        if name == "new":
            one.add_argument("--name", required=True, help="of the competition and its file")
            one.add_argument("--images", required=True, help="folder of images, or of a folder per class")
            one.add_argument("--train", help="training table; without it: a folder per class")
            one.add_argument("--test", help="test table or folder; without it: the sample's, or held out")
            one.add_argument("--sample", help="the host's sample submission")
        if name == "score":
            one.add_argument("--file", help="a host-format CSV; without it: every submission not yet scored")
            one.add_argument("--public", type=_score, help="the public score that the host showed")
            one.add_argument("--private", type=_score, help="the private score that the host showed")
            one.add_argument(
                "--reveal", action="store_true", help="also show the demo's private score; counted"
            )
        if name in ("validate", "submit", "reproduce"):
            one.add_argument("--file", default="", help="a host-format CSV, or a submission's name")
        if name == "validate":
            one.add_argument("--out", help="write the same answers in the sample's form here")
        if name == "submit":
            one.add_argument("--message", help="what is said with it; without it: its name and score")
            one.add_argument("--yes", action="store_true", help="hand in without asking")
        if name == "reproduce":
            one.add_argument("--scratch", action="store_true", help="build all again, reuse nothing")
            one.add_argument("--anyway", action="store_true", help="rebuild with other keys, too")
        if name == "error-analysis":
            one.add_argument("--a", help="the new host-format CSV")
            one.add_argument("--b", help="the CSV to compare it with")
            one.add_argument("--verdicts", help="answers exported from the report, to take in")
        if name == "explain":
            one.add_argument(
                "--id", default="", help="ids, separated by commas; without it: the worst errors"
            )
            one.add_argument("--run", default="", help="the experiment; without it: the best finished one")
            one.add_argument("--what", help="parts, separated by commas; without it: all")
            one.add_argument("--fold", type=int, help="whose network explains test images; without it: 0")
        if name == "leaderboard":
            one.add_argument(
                "--name", default="", help="the submission whose gap is looked into; else the best"
            )
        if name == "pin-best":
            one.add_argument(
                "--name", required=True, help="a submission of the ledger; none: take the mark away"
            )
        if name == "final":
            one.add_argument("--n", type=int, default=2, help="how many the host lets one select")
        if name == "models":
            one.add_argument("--names", default="", help='e.g. "resnet18 vgg16"; without it: configs/model/*')
        if name == "ablate":
            one.add_argument("--grid", required=True, help="e.g. configs/ablate/resample_quick.yaml")
        if name == "tune":
            one.add_argument(
                "--stage", required=True, help="eda, resample, train, tta, ensemble, decision, all"
            )
            one.add_argument("--trials", type=int, help="in the whole study; else as the space says")
            one.add_argument("--timeout", default="", help="of the search: 90s, 30m, 2h")
            one.add_argument("--budget", default="", help="of all stages together, for --stage all")
            one.add_argument("--jobs", type=int, default=1, help="processes that share the study")
            one.add_argument(
                "--space", default="", help="a space of your own; else configs/tune/<stage>.yaml"
            )
            one.add_argument("--study", default="", help="go on with this very study")
            one.add_argument("--worker", action="store_true", help="only run trials of a study")
        if name == "gc":
            one.add_argument("--dry", action="store_true", help="only say what would be freed")
        if name == "pin":
            one.add_argument("--key", required=True, help="start of a key of `make runs`")
    return top


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
        from pipeline import commands
        from pipeline.settings.load import load

        settings = load(options.settings)
        logging.getLogger().setLevel(settings.config.runtime.log_level.upper())
        commands.run(options, settings)
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


if __name__ == "__main__":
    sys.exit(main())
