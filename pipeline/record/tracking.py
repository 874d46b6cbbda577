"""The record of runs in MLflow: what was done, why, and the result.

Owns every call to mlflow, which is imported on the first run and not before (two seconds), and what a run
contains: its name, key, tags, description and the commit of the code. Does not own results: the record is
not a cache. Losing it loses no result, so nothing here ever stops a stage; a record that cannot be written
is one warning. What the UI shows is `record/board.py`.

One run per stage that did work, one level of children (folds or trials) beneath. The client API only:
no active run, no global state, so that threads and nested runs cannot write into each other.

Source: https://mlflow.org/docs/latest/ml/tracking/
"""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from pipeline.core.errors import StoppedError
from pipeline.core.secrets import hidden
from pipeline.record import below, board, glance
from pipeline.record.claims import CLAIMS, Lock
from pipeline.record.files import sqlite_url
from pipeline.record.left_open import BEAT, OWNER, close_stale, end_killed
from pipeline.record.owners import SILENCE, Beating, Watch, interval, this

T = TypeVar("T")
Number = float | int | None

CHECKOUT = Path(__file__).resolve().parents[2]
# Where a server keeps files -> the module that this process sends them with, and how to install it.
CLIENTS = {
    **dict.fromkeys(("s3", "s3a", "r2", "b2"), ("boto3", "'podium[s3]'")),
    "gs": ("google.cloud.storage", "google-cloud-storage"),
    "wasbs": ("azure.storage.blob", "azure-storage-blob"),
    "abfss": ("azure.storage.filedatalake", "azure-storage-file-datalake"),
    "sftp": ("pysftp", "pysftp"),
    **dict.fromkeys(("hdfs", "viewfs"), ("pyarrow", "pyarrow")),
}
FILES_NOT_SENT = (
    "MLflow record %s: its files lie at %s, which needs the package %s: install it with `pip install %s`. "
    "Until then runs are recorded without files; all results and reports are in artifacts/"
)
FAILURES_BEFORE_OFF = 3
LONGEST_TAG = 5000  # characters; MLflow cuts at 8000
PARAMS_PER_BATCH = 100  # MLflow's limit
MOST_DRAWN = 100  # newest runs, by which the drawing of settings is arranged

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunInfo:
    """The description of a run when it starts.

    Args:
        stage: e.g. train.
        competition: becomes the MLflow experiment.
        experiment: our experiment, e.g. lite0; empty for stages without one.
        name: of the run in the UI's table, e.g. `train lite0`.
        key: the artifact's content key, which links the record and the store.
        tags: flat extra tags, e.g. study; see `record/board.py` for the ones that are columns.
        params: the settings to record, flat: `{"train.lr": 1e-3}`.
        description: markdown; see `note`.
        git: see `git_commit`.
        metric: the competition's; the run's metric `oof_<metric>` orders the UI's table.
        higher_is_better: False for losses.
    """

    stage: str
    competition: str
    name: str
    key: str
    experiment: str = ""
    tags: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, object] = field(default_factory=dict)
    description: str = ""
    git: str = "none"
    metric: str = "macro_f1"
    higher_is_better: bool = True


def note(what: str, why: str, next_command: str, report: str = "", result: str = "") -> str:
    """A run's description in markdown, one line each; the UI hides lines after the fourth.

    Args:
        what: one sentence: what was done.
        why: one sentence: the question that this run answers.
        next_command: a shell command.
        report: name of the run's HTML artifact, or empty.
        result: one sentence: the result with its interval, or empty while the run is open.
    """
    lines = {"What": what, "Result": result, "Why": why}
    if report:
        lines["Report"] = f"tab *Artifacts*, `{report}`"
    lines["Next"] = f"`{next_command}`"
    # Two spaces at the end of a line are a line break in markdown.
    return "  \n".join(f"**{name}** {text}" for name, text in lines.items() if text)


def git_commit(folder: Path = CHECKOUT) -> str:
    """The short commit of `folder`, with `-dirty` when tracked files differ; "none" outside a repository."""
    if folder == CHECKOUT and not (folder / "pyproject.toml").is_file():
        return "none"  # installed: the repository around site-packages, if any, is not ours

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, check=True)
        return done.stdout.strip()

    try:
        commit = git("rev-parse", "--short=10", "HEAD")
        return f"{commit}-dirty" if git("status", "--porcelain", "--untracked-files=no") else commit
    except (OSError, subprocess.SubprocessError):
        return "none"


def tracking_uri(home: Path, uri: str | None) -> str:
    """The address of the record: `uri`, else MLFLOW_TRACKING_URI, else `<home>/mlflow.db`."""
    return uri or os.environ.get("MLFLOW_TRACKING_URI") or sqlite_url(home.resolve() / "mlflow.db")


class Run:
    """One run, open, or not recorded at all (`id` is None); every method may be called in both cases."""

    def __init__(
        self, tracker: Tracker, info: RunInfo, run_id: str | None, parent: Run | None = None
    ) -> None:
        self._tracker = tracker
        self.info = info
        self.id = run_id
        self.parent = parent
        self.failed_child = ""
        # Name of a figure that has a curve -> the last step of the curve.
        self._last: dict[str, int] = {}

    def _do(self, action: Callable[[Any, str], object]) -> None:
        run_id = self.id
        if run_id is not None:
            self._tracker.attempt(lambda client: action(client, run_id))

    def metrics(self, values: Mapping[str, Number]) -> None:
        """Summary metrics, shown in the table with five digits; None values are left out.

        Those that have a curve are its last point: at its first step they would be a second line.
        """
        made = [one for k, v in _rounded(values).items() for one in _metrics({k: v}, self._last.get(k, 0))]
        self._do(lambda client, run_id: client.log_batch(run_id, metrics=made))

    def epoch(self, epoch: int, values: Mapping[str, Number]) -> None:
        """One point of every curve, in one write; `epoch` counts from 0."""
        self._last |= dict.fromkeys(values, epoch)
        self._do(lambda client, run_id: client.log_batch(run_id, metrics=_metrics(values, epoch)))

    def tag(self, tags: Mapping[str, str]) -> None:
        """Add or replace tags."""
        self._do(lambda client, run_id: client.log_batch(run_id, tags=_tags(tags)))

    def describe(self, markdown: str) -> None:
        """Replace the description, e.g. when the result is known; see `note`."""
        self.tag({"mlflow.note.content": markdown})

    def artifact(self, path: Path, folder: str | None = None) -> None:
        """Copy a file, or all files of a folder, to the run's artifacts."""

        def copy(client: Any, run_id: str) -> None:
            log = client.log_artifacts if path.is_dir() else client.log_artifact
            log(run_id, str(path), folder)

        if self._tracker.keeps_files:
            self._do(copy)

    def text(self, name: str, text: str) -> None:
        """Write `text` as the artifact `name`, e.g. `config.yaml`."""
        if self._tracker.keeps_files:
            self._do(lambda client, run_id: client.log_text(run_id, hidden(text), name))

    def dataset(self, name: str, digest: str, n_rows: int, context: str = "training") -> None:
        """Record the data that was used, by a digest of its content; shown in the table and on the page."""

        def log(client: Any, run_id: str) -> None:
            from mlflow.entities import Dataset, DatasetInput, InputTag

            data = Dataset(
                name=name,
                digest=digest[:12],
                source_type="local",
                source=json.dumps({"uri": name}),
                profile=json.dumps({"num_rows": n_rows}),
            )
            client.log_inputs(run_id, [DatasetInput(data, [InputTag("mlflow.data.context", context)])])

        self._do(log)

    def _fail(self, error: BaseException) -> None:
        # Paused because of the time, or by a search: on purpose, and no failure.
        paused = isinstance(error, StoppedError)
        killed = paused or isinstance(error, KeyboardInterrupt)
        reason = "interrupted" if killed and not paused else _brief(error)
        if self.failed_child:
            reason = f"{self.failed_child}: {reason}"
        self.tag({"error": reason})
        self.describe(f"**{'Stopped' if killed else 'Failed'}** {reason}\n\n{self.info.description}")
        self._do(lambda client, run_id: client.set_terminated(run_id, "KILLED" if killed else "FAILED"))
        if self.parent is not None:
            self.parent.failed_child = self.info.name.partition(" of ")[0]

    def child(
        self, name: str, tags: Mapping[str, str], params: Mapping[str, object] | None = None
    ) -> AbstractContextManager[Run]:
        """A child of this run: a fold or a trial, with its own tags and params; its stage is the parent's."""
        assert self.parent is None, "the record has two levels only: a child run has no children"
        info = replace(self.info, name=name, key="", tags=tags, params=params or {}, description="")
        return self._tracker.run(info, self)


class Tracker:
    """Opens runs and finds finished ones.

    Args:
        home: folder of `mlflow.db` and `mlartifacts/`.
        uri: tracking server; None: MLFLOW_TRACKING_URI, else SQLite under `home`.
        enabled: False records nothing, and does not import mlflow.
        silence: seconds without a heartbeat after which another host may close the runs of this process.
    """

    def __init__(
        self, home: Path, uri: str | None = None, enabled: bool = True, silence: float = SILENCE
    ) -> None:
        self._home = home.resolve()
        # Whether the record is the database of this home, and not a server.
        given = uri or os.environ.get("MLFLOW_TRACKING_URI")
        self._own = given in (None, "", f"sqlite:///{self._home / 'mlflow.db'}")
        self._given = uri
        self._enabled = enabled
        # False where the server's storage of files needs a package that is missing.
        self.keeps_files = True
        self._client: Any = None
        self._experiments: dict[str, str] = {}
        self._failures = 0
        self._silence = silence
        self._open: list[str] = []
        self._beats = 0
        self._beating = Beating(interval(silence), self._beat)

    @property
    def is_file(self) -> bool:
        """Whether runs are recorded in the database of this home, and not by a server."""
        return self._enabled and self._own

    def _beat(self) -> None:
        """A heartbeat of every open run."""
        self._beats += 1
        for number in tuple(self._open):
            self._client.set_tag(number, BEAT, str(self._beats))

    @contextmanager
    def _alive(self, number: str | None) -> Iterator[None]:
        """In this context a run has a heartbeat."""
        if number is None:
            yield
            return
        self._open.append(number)
        self._beating.start()
        try:
            yield
        finally:
            self._open.remove(number)
            if not self._open:
                self._beating.stop()

    @property
    def _uri(self) -> str:
        """The address of the record, with its password."""
        return tracking_uri(self._home, self._given)

    def update(
        self, key: str, stage: str, metrics: Mapping[str, Number], tags: Mapping[str, str] | None = None
    ) -> bool:
        """Add metrics and tags that are known later to the newest finished run of a key, e.g. a public score.

        Returns:
            False if there is no such run, or the record is off.
        """

        def add(client: Any) -> bool:
            where = f"tags.key = '{key}' and tags.stage = '{stage}' and attributes.status = 'FINISHED'"
            everywhere = [e.experiment_id for e in client.search_experiments()]
            runs = client.search_runs(everywhere, where, max_results=1)
            for run in runs:
                client.log_batch(
                    run.info.run_id, metrics=_metrics(_rounded(metrics), 0), tags=_tags(tags or {})
                )
            return bool(runs)

        return bool(self.attempt(add))

    def attach(self, key: str, stage: str, path: Path) -> None:
        """Add a file to the newest finished run of a key, such as the report about it."""

        def add(client: Any) -> None:
            where = f"tags.key = '{key}' and tags.stage = '{stage}' and attributes.status = 'FINISHED'"
            everywhere = [e.experiment_id for e in client.search_experiments()]
            for run in client.search_runs(everywhere, where, max_results=1):
                client.log_artifact(run.info.run_id, str(path))

        if self.keeps_files:
            self.attempt(add)

    def forget(self, key: str, stage: str) -> None:
        """Delete the runs of a key with their children: the next run replaces them."""

        def delete(client: Any) -> None:
            where = f"tags.key = '{key}' and tags.stage = '{stage}'"
            for experiment in client.search_experiments():
                for run in client.search_runs([experiment.experiment_id], where):
                    beneath = f"tags.`mlflow.parentRunId` = '{run.info.run_id}'"
                    for child in client.search_runs([experiment.experiment_id], beneath):
                        client.delete_run(child.info.run_id)
                    client.delete_run(run.info.run_id)

        self.attempt(delete)

    def end_dead(self, runs: Sequence[str]) -> None:
        """Close runs whose process has ended, by their ids."""

        def end(client: Any) -> None:
            for number in runs:
                end_killed(client, number, "killed")

        self.attempt(end)

    def put_below(self, competition: str, pairs: Mapping[str, str]) -> None:
        """Put runs of results below those of others; see `record/below.py`."""

        def put(client: Any) -> None:
            experiment = client.get_experiment_by_name(competition)
            if experiment is not None:
                below.put(client, str(experiment.experiment_id), pairs)

        if pairs:
            self.attempt(put)

    def standings(self, competition: str, markdown: str) -> None:
        """Put a table of experiments (as `make runs` prints it) into our part of the description.

        The drawing of settings and scores gets the settings in which the newest runs differ as its axes.

        The user's text around that part is kept; a description without it is not changed, and neither is a
        competition without a recorded run.
        """

        def write(client: Any) -> None:
            experiment = client.get_experiment_by_name(competition)
            headline = None if experiment is None else board.Headline.recorded(experiment.tags)
            if headline is None:
                return
            first = glance.line(client, str(experiment.experiment_id), headline)
            part = board.guide(str(experiment.experiment_id), headline, markdown, first)
            before = experiment.tags.get(board.NOTE, part)
            _tag(client, str(experiment.experiment_id), board.NOTE, board.rewritten(before, part))
            newest = client.search_runs(
                [experiment.experiment_id], board.COMPARED_ONLY, max_results=MOST_DRAWN
            )
            of_networks = [run.data.params for run in newest if board.FIRST_AXES[0] in run.data.params]
            axes = board.varied(of_networks) or board.FIRST_AXES
            _tag(client, str(experiment.experiment_id), board.SETTINGS_VIEW, board.settings_view(axes))

        self.attempt(write)

    def link(self, competition: str) -> str:
        """The address of a competition's table in the UI; empty if nothing is known to be recorded."""
        if self._own:
            database = self._home / "mlflow.db"
            known = dict(board.experiments(database)) if database.is_file() else {}
            return board.link(known[competition]) if competition in known else ""
        if not self._uri.startswith(("http://", "https://")):
            return ""

        def find(client: Any) -> str:
            experiment = client.get_experiment_by_name(competition)
            scheme, _, rest = self._uri.partition("://")
            host = rest.rpartition("@")[2].rstrip("/")  # without a password
            return (
                "" if experiment is None else f"{scheme}://{host}/{board.view_path(experiment.experiment_id)}"
            )

        return self.attempt(find) or ""

    def known_link(self, competition: str) -> str:
        """Like `link`, where that takes neither a server nor the import of mlflow; empty otherwise."""
        return self.link(competition) if self.is_file else ""

    def attempt(self, action: Callable[[Any], T]) -> T | None:
        """Call `action` with the client; a failure is a warning, and three turn the record off."""
        if not self._enabled:
            return None
        try:
            if self._client is None:
                self._client = self._connect()
            result = action(self._client)
        # mlflow, the database or the network may raise anything; no result depends on it.
        except Exception as error:
            self._failures += 1
            if self._failures == 1:
                reason = hidden(_brief(error).splitlines()[0], self._uri)
                logger.warning("MLflow record %s: %s; results are not affected", hidden(self._uri), reason)
            if self._client is None or self._failures == FAILURES_BEFORE_OFF:
                self._enabled = False
                logger.warning("MLflow record is off for the rest of this run")
            return None
        self._failures = 0
        return result

    @contextmanager
    def run(self, info: RunInfo, parent: Run | None = None) -> Iterator[Run]:
        """Record a stage's work. Call it while holding the artifact's lock; for children use `Run.child`.

        A body that raises ends the run FAILED (KILLED for Ctrl-C) with the error as tag `error`, and
        the exception is raised again. Runs of this key that a killed process left RUNNING are closed first.
        """
        above = None if parent is None else parent.id
        orphan = parent is not None and above is None
        number = None if orphan else self.attempt(lambda client: self._create(client, info, above))
        run = Run(self, info, number, parent)
        try:
            with self._alive(number):
                yield run
        except BaseException as error:
            run._fail(error)
            self._at_a_glance(info, parent)
            raise
        run._do(lambda client, run_id: client.set_terminated(run_id, "FINISHED"))
        if parent is None and info.key:
            place = self._experiments.get(info.competition, "")
            run._do(lambda client, run_id: below.put_earlier(client, place, run_id, info.stage, info.key))
        self._at_a_glance(info, parent)

    def _at_a_glance(self, info: RunInfo, parent: Run | None) -> None:
        """Renew the first line of the description after a run that is no child."""

        def renew(client: Any) -> None:
            experiment = client.get_experiment_by_name(info.competition)
            headline = None if experiment is None else board.Headline.recorded(experiment.tags)
            if headline is not None:
                before, number = experiment.tags.get(board.NOTE, ""), str(experiment.experiment_id)
                after = board.renewed(before, glance.line(client, number, headline))
                if after != before:
                    _tag(client, number, board.NOTE, after)

        if parent is None:
            self.attempt(renew)

    def _connect(self) -> Any:
        # Read when mlflow is imported: no telemetry, no log lines (a failure is one warning of ours and not a
        # traceback), and a server that is down must not cost minutes (seven retries by default).
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "CRITICAL")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
        os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
        from mlflow import MlflowClient

        if self._own:
            self._home.mkdir(parents=True, exist_ok=True)
        # Two processes that create the tables at the same time break each other's migration.
        with Lock(self._home / "artifacts", "mlflow.db", timeout=120) if self._own else nullcontext():
            client = MlflowClient(self._uri, self._uri)
            client.search_experiments(max_results=1)
        return client

    def _experiment(self, client: Any, info: RunInfo) -> str:
        competition = info.competition
        if competition not in self._experiments:
            location = (self._home / "mlartifacts").as_uri() if self._own else None
            experiment = client.get_experiment_by_name(competition)
            if experiment is None:
                from mlflow.exceptions import MlflowException

                # Another process may create it between our check and our call: then that one is used.
                with suppress(MlflowException):
                    client.create_experiment(competition, location)
                experiment = client.get_experiment_by_name(competition)
                assert experiment is not None, f"experiment {competition} was created and is missing"
            self._refuse_files(str(experiment.artifact_location or ""))
            experiment_id = str(experiment.experiment_id)
            headline = board.Headline.of(info.metric, info.higher_is_better)
            for key, value in board.experiment_tags(experiment_id, headline).items():
                missing = key not in experiment.tags
                if missing or (key in board.OURS and experiment.tags[key] != value):
                    _tag(client, experiment_id, key, value)
            self._experiments[competition] = experiment_id
        return self._experiments[competition]

    def _refuse_files(self, location: str) -> None:
        """Say once, before work begins, that a package is missing without which no file can be sent.

        The rest of the record goes on: an upload that fails at the end of a stage would end it.
        """
        kind = location.partition("://")[0]
        package, extra = CLIENTS.get(kind, ("", ""))
        if package and self.keeps_files and not _is_installed(package):
            self.keeps_files = False
            where = hidden(location)
            logger.warning(FILES_NOT_SENT, hidden(self._uri), where, package, extra)

    def _watch(self) -> Watch:
        return Watch.of(self._home / "artifacts" / CLAIMS)

    def _create(self, client: Any, info: RunInfo, parent_id: str | None) -> str:
        experiment_id = self._experiment(client, info)
        if parent_id is None:
            close_stale(client, experiment_id, (info.stage, info.key), self._watch(), self._silence)
        owner = json.dumps(this())
        own = {
            OWNER: owner,
            "stage": info.stage,
            "experiment": info.experiment,
            "key": info.key,
            "git": info.git,
        }
        tags = {key: value for key, value in {**own, **info.tags}.items() if value}
        tags["mlflow.source.name"] = f"make {info.stage.replace('_', '-')}"
        tags["mlflow.source.type"] = "LOCAL"
        if info.description:
            tags["mlflow.note.content"] = info.description
        if parent_id is not None:
            tags["mlflow.parentRunId"] = parent_id
        run = client.create_run(experiment_id, run_name=info.name, tags=_cut(tags))
        params = _params(info.params)
        for start in range(0, len(params), PARAMS_PER_BATCH):
            client.log_batch(run.info.run_id, params=params[start : start + PARAMS_PER_BATCH])
        return str(run.info.run_id)


def _tag(client: Any, experiment_id: str, key: str, value: str) -> None:
    """Set a tag of an experiment, also if another process sets it at the same time.

    A server looks whether the tag is there, and then inserts it. If another process inserted it between both,
    the server answers with an error, and the second attempt replaces the tag.
    """
    from mlflow.exceptions import MlflowException

    try:
        client.set_experiment_tag(experiment_id, key, value)
    except MlflowException:
        client.set_experiment_tag(experiment_id, key, value)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # the package above it is missing
        return False


def _rounded(values: Mapping[str, Number]) -> dict[str, Number]:
    # The UI's table prints all digits: 0.02700000000000002.
    return {k: v if v is None else float(f"{v:.5g}") for k, v in values.items()}


def _metrics(values: Mapping[str, Number], step: int) -> Sequence[Any]:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    named = {board.recorded_name(k): v for k, v in values.items() if v is not None}
    return [Metric(k, float(v), now, step) for k, v in named.items()]


def _params(values: Mapping[str, object]) -> Sequence[Any]:
    from mlflow.entities import Param

    return [Param(key, hidden(str(value))[:LONGEST_TAG]) for key, value in values.items()]


def _tags(values: Mapping[str, str]) -> Sequence[Any]:
    from mlflow.entities import RunTag

    return [RunTag(key, value) for key, value in _cut(values).items()]


def _cut(tags: Mapping[str, str]) -> dict[str, str]:
    return {key: hidden(str(value))[:LONGEST_TAG] for key, value in tags.items()}


def _brief(error: BaseException) -> str:
    text = str(error).strip()
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
