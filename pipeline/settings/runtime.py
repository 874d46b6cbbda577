"""The sections `runtime` and `reproduce`: where and how a command runs, and when results count as equal.

Owns their fields, and the rules between the device and the sections before it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag

from pipeline.core.language import _
from pipeline.core.secrets import hidden
from pipeline.settings.fields import Broken, Section, Sections, neutral, rule


def _word_or_number(value: object) -> str:
    return "word" if isinstance(value, str) else "number"


class ReproduceSettings(Section):
    """When `make reproduce` accepts a result of other hardware; on the same hardware, bytes must be equal."""

    agreement: float = neutral(0.99, "share of test images that must get the same label", gt=0, le=1)
    max_dp: float = neutral(0.02, "largest difference of any probability", ge=0, le=1)


# Schemes of a home that is no folder of this machine.
BUCKETS = ("s3", "gs", "file")
KNOWN_BUCKETS = ", ".join(f"{scheme}://" for scheme in BUCKETS)


def folder_of(home: str, local: str) -> Path:
    """The folder of everything that is not a result: the home, or the local side of one in a bucket."""
    return Path(local if "://" in home else home)


class RuntimeSettings(Section):
    """Where and how commands run; never in the key of a result."""

    device: Literal["auto", "cpu", "cuda"] = neutral("auto", "auto: a GPU if there is one")
    threads: int | None = neutral(
        None, "torch threads of one result; None: all cores. Other threads give other last bits", ge=1
    )
    deterministic: bool = neutral(
        True, "on a GPU: only deterministic algorithms, so that a killed run has the same result"
    )
    workers: Annotated[
        Annotated[Literal["auto"], Tag("word")] | Annotated[int, Field(ge=0, le=128), Tag("number")],
        Discriminator(_word_or_number),
    ] = neutral("auto", "loader processes; 0: load in this process; auto: the fastest number, by timing")
    executor: Literal["auto", "here", "local", "ray"] = neutral(
        "auto",
        "where results are computed: here (this process), local (processes of this machine), ray (a "
        "cluster); auto: local with several GPUs or if processes, gpus or per_gpu ask for it, otherwise here",
    )
    gpus: Annotated[
        Annotated[Literal["auto"], Tag("word")]
        | Annotated[list[Annotated[int, Field(ge=0)]], Field(min_length=1), Tag("number")],
        Discriminator(_word_or_number),
    ] = neutral(
        "auto",
        "the GPUs of executor=local by their numbers, e.g. [0,1], among those that CUDA_VISIBLE_DEVICES "
        "leaves; auto: all of these",
    )
    per_gpu: int = neutral(1, "processes on each GPU; more pay for small networks", ge=1, le=16)
    processes: Annotated[
        Annotated[Literal["auto"], Tag("word")] | Annotated[int, Field(ge=1, le=512), Tag("number")],
        Discriminator(_word_or_number),
    ] = neutral("auto", "processes of executor=local on CPUs; auto: cores // threads")
    address: str | None = neutral(
        None, "with executor=ray: `auto` or HOST:PORT of a running cluster; None: Ray is started here"
    )
    images_share: float = neutral(
        0.5,
        "share of a GPU's free memory that prepared images may fill; larger sets are copied batch by batch",
        ge=0,
        le=1,
    )
    infer_batch: int = neutral(128, "images per forward pass without gradients", ge=1)
    log_level: Literal["debug", "info", "warning"] = neutral(
        "info", "messages of this level and above are logged"
    )
    home: str = neutral(
        ".",
        "folder of artifacts/, work/, data/, submissions/ and mlflow.db; or s3://…, gs://…, file:///…: then "
        "the results are there, and everything else in runtime.local",
    )
    local: str = neutral(
        ".", "with a home in a bucket: the folder of work/, data/, submissions/, mlflow.db and the local copy"
    )
    copy_gb: float = neutral(
        50.0, "with a home in a bucket: GB of its results that are kept here, the last used ones", gt=0
    )
    silence_seconds: float = neutral(
        180.0,
        "a process of another host that gave no sign of life for so long counts as dead: its results, trials "
        "and runs are taken over",
        ge=10,
        le=3600,
    )
    mlflow: bool = neutral(True, "record runs in MLflow")
    mlflow_uri: str | None = neutral(None, "tracking server; None: MLFLOW_TRACKING_URI or home/mlflow.db")

    @property
    def folder(self) -> Path:
        """See `folder_of`."""
        return folder_of(self.home, self.local)


@rule("runtime")
def address_of_home(s: Sections) -> Iterator[Broken]:
    """A home is a folder or the address of a bucket, without credentials."""
    home = s["runtime"].home
    scheme, mark, rest = home.partition("://")
    if not mark:
        return
    shown = hidden(home)
    if scheme not in BUCKETS:
        yield (
            "runtime.home",
            _("{shown}: a home is a folder, or an address that begins with {known}").format(
                shown=shown, known=KNOWN_BUCKETS
            ),
        )
    elif set("@?#") & set(rest):
        yield (
            "runtime.home",
            _("{shown}: credentials and options belong in the environment, not in the address").format(
                shown=shown
            ),
        )
    elif scheme == "file" and not rest.startswith("/"):
        yield (
            "runtime.home",
            _("{shown}: an address of a folder begins with file:/// and is absolute").format(shown=shown),
        )
    elif not rest.strip("/") or {"", ".", ".."} & set(rest.strip("/").split("/")):
        yield (
            "runtime.home",
            _("{shown}: it names no bucket, or has an empty part or dots").format(shown=shown),
        )


@rule("runtime")
def devices_of_workers(s: Sections) -> Iterator[Broken]:
    """Settings of GPUs need GPUs, and an address needs a cluster."""
    runtime = s["runtime"]
    if runtime.device == "cpu":
        if runtime.per_gpu > 1:
            yield "runtime.per_gpu", _("is for a GPU, but runtime.device=cpu; set runtime.processes instead")
        if runtime.gpus != "auto":
            yield "runtime.gpus", _("names GPUs, but runtime.device=cpu; leave one of them out")
    if runtime.device == "cuda" and runtime.processes != "auto":
        yield "runtime.processes", _("is for CPUs, but runtime.device=cuda; set runtime.per_gpu instead")
    if runtime.gpus != "auto" and len(set(runtime.gpus)) < len(runtime.gpus):
        yield "runtime.gpus", _("names a GPU twice; set runtime.per_gpu for several processes on each GPU")
    for name in ("gpus", "processes"):
        if runtime.executor == "ray" and getattr(runtime, name) != "auto":
            yield (
                f"runtime.{name}",
                _("is for processes of this machine; with executor=ray, Ray places the work"),
            )
    asked = {
        "gpus": runtime.gpus != "auto",
        "per_gpu": runtime.per_gpu > 1,
        "processes": runtime.processes != "auto",
    }
    for name, is_set in asked.items():
        if runtime.executor == "here" and is_set:
            yield (
                f"runtime.{name}",
                _("is for several processes, but runtime.executor=here; leave one of them out"),
            )
    if runtime.address is not None and runtime.executor != "ray":
        yield "runtime.address", _("is of a Ray cluster; set runtime.executor=ray, or leave it out")


@rule("train", "runtime")
def training_precision(s: Sections) -> Iterator[Broken]:
    """Training in fp16 needs a GPU."""
    if s["train"].precision == "fp16" and s["runtime"].device == "cpu":
        yield "train.precision", _("fp16 needs a GPU; use fp32 or bf16 on a CPU")


@rule("train", "runtime")
def halving_on_a_gpu(s: Sections) -> Iterator[Broken]:
    """Halving after a GPU ran out of memory needs a GPU."""
    if s["train"].oom_halving and s["runtime"].device == "cpu":
        yield "train.oom_halving", _("is for a GPU, but runtime.device=cpu; set train.accumulate instead")


@rule("infer", "runtime")
def inference_precision(s: Sections) -> Iterator[Broken]:
    """Inference in fp16 needs a GPU."""
    if s["infer"].precision == "fp16" and s["runtime"].device == "cpu":
        yield "infer.precision", _("fp16 needs a GPU; use fp32 or bf16 on a CPU")
