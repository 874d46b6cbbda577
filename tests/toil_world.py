"""What the tests of executors share: small stages without torch, and a pool that runs in this process.

`ground` is light; `toil` is heavy and does what its parameter says; `team` is tracked and has three toils
inside; `sum` needs two teams.
"""

import importlib
import os
import time

from pipeline.core.errors import DataError, StoppedError, StorageError
from pipeline.engine.executors.parallel import Parallel
from pipeline.engine.executors.pool import Ended, Epoch, Lost
from pipeline.engine.executors.work import build_one
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.engine.stage import Built, Catalogue, Stage
from pipeline.settings.load import load


def build_ground(job):
    (job.draft / "ground.txt").write_text("ground")
    return Built(metrics={"pid": float(os.getpid())})


def build_toil(job):
    does, n = job.params["does"], int(job.params["fold"])
    for epoch in range(3):
        (job.work / f"epoch{epoch}").parent.mkdir(parents=True, exist_ok=True)
        (job.work / f"epoch{epoch}").write_text("")
        if not job.on_epoch(n, epoch, {"valid_score": 0.5}):
            raise StoppedError(f"toil {n} was stopped")
        if does == "sleep":
            time.sleep(20)
    if does == "fail" and n != 1:
        raise DataError(f"toil {n} failed")
    if does == "fill the disk":
        raise StorageError(f"/home{n}: the disk is full")
    if does == "fail alike":
        raise DataError("all toils fail")
    if does == "bug" and n == 1:
        raise ZeroDivisionError("a fault of ours")
    if does == "die" or (does == "die once" and not (job.work / "died").exists()):
        (job.work / "died").write_text("")
        os.kill(os.getpid(), 9)
    if does.startswith("torch"):
        importlib.import_module("torch")
    (job.draft / "toil.txt").write_text(f"{does} {n}")
    gpu = float(os.environ.get("CUDA_VISIBLE_DEVICES") or -1)
    seed = float(job.settings.config.train.seed)
    return Built(metrics={"pid": float(os.getpid()), "seed": seed, "gpu": gpu})


def toil_inputs(ask, settings, params):
    return {"ground": Need("ground", settings)}


def build_team(job):
    toils = [job.inputs[name] for name in sorted(job.inputs) if name.startswith("toil")]
    (job.draft / "team.txt").write_text("\n".join((t.folder / "toil.txt").read_text() for t in toils))
    with (job.home / "teams.txt").open("a") as file:  # the order in which teams are built
        print(job.params["does"], file=file)
    return Built(metrics={"pid": float(os.getpid()), "score": 0.5}, lines=("a team",))


def team_inputs(ask, settings, params):
    toils = {f"toil{n}": Need("toil", settings, {"fold": n, "does": params["does"]}) for n in range(3)}
    return {"ground": Need("ground", settings), **toils}


def announce_team(settings, inputs, missing, host):
    return [f"team: {len(missing)} toils are missing"]


def build_sum(job):
    return Built(metrics={"teams": float(len(job.inputs))})


def sum_inputs(ask, settings, params):
    return {does: Need("team", settings, {"does": does}) for does in str(params["teams"]).split(",")}


def toil_reads(settings):
    return ("train.seed",)


STAGES = (
    Stage("ground", 1, "ground", build_ground),
    Stage("toil", 1, "toil", build_toil, reads=toil_reads, inputs=toil_inputs, heavy=True),
    Stage(
        "team", 1, "team", build_team, inputs=team_inputs, inside="toil", tracked=True, announce=announce_team
    ),
    Stage("sum", 1, "sum", build_sum, inputs=sum_inputs),
)


def catalogue():
    return Catalogue.of(STAGES, {})


class HerePool:
    """Runs each task in this process when its turn comes; `lose` names tasks that are lost once or always."""

    kind = "local"

    def __init__(self, size=2, lose=()):
        self.size, self._queue, self.lose = size, [], list(lose)
        self.order, self.answers, self.closed = [], [], 0

    @property
    def free(self):
        return self.size - len(self._queue)

    def submit(self, task):
        self._queue.append(task)
        self.order.append(task.title)
        return "process 0", os.getpid()

    def answer(self, name, goes_on):
        self.answers.append(goes_on)

    def wait(self, seconds):
        if not self._queue:
            return []
        task, events = self._queue.pop(0), []
        if task.need.params.get("fold") in self.lose:
            self.lose.remove(task.need.params["fold"])
            return [Lost(task.name, "signal SIGKILL")]

        def report(fold, epoch, figures):
            events.append(Epoch(task.name, fold, epoch, figures))
            return True

        events.append(Ended(task.name, build_one(task, report)))
        return events

    def close(self):
        self.closed += 1


def session_of(home, *words, pool=None, record=False):
    """A session of these stages, whose heavy ones `pool` builds; without one, this process does."""
    given = ["competition=digits", f"runtime.home={home}", "runtime.threads=1", *words]
    settings = load(given if record else [*given, "runtime.mlflow=false"])
    executor = None if pool is None else Parallel(lambda site: pool, catalogue)
    return Session(settings, catalogue(), executor=executor)


def team(session, does="work"):
    return Need("team", session.settings, {"does": does})


def digests(home):
    """stage/key -> digests of its files."""
    session = session_of(home)
    return {a.address: {n: f["sha256"] for n, f in a.manifest["files"].items()} for a in session.store.all()}
