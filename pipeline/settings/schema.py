"""Every setting, its range, its default and what it does. The only home of defaults.

Owns the sections and `Config`; those of a competition stand in `settings/competition.py`, those of a loss
in `settings/losses.py`, of a network in `settings/model.py`, and are named here too, so that one module
answers for all. Does not own reading YAML or overrides (`settings/load.py`).

A field marked `neutral()` does not define a result (device, workers, threads): it stays out of
every content key. Sections are what a stage declares that it reads.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, Tag, field_validator

from pipeline.settings.competition import AttributeSettings as AttributeSettings
from pipeline.settings.competition import CompetitionSettings as CompetitionSettings
from pipeline.settings.competition import DigitsDemo as DigitsDemo
from pipeline.settings.competition import EmojiDemo as EmojiDemo
from pipeline.settings.competition import ExtraSettings as ExtraSettings
from pipeline.settings.competition import SubmissionSettings as SubmissionSettings
from pipeline.settings.decision import DecisionSettings as DecisionSettings
from pipeline.settings.explain import ExplainSettings as ExplainSettings
from pipeline.settings.explain import OcclusionSettings as OcclusionSettings
from pipeline.settings.fields import NEUTRAL as NEUTRAL
from pipeline.settings.fields import Rectangle, Share, Side, fact, neutral
from pipeline.settings.fields import Section as Section
from pipeline.settings.finders import FinderSettings
from pipeline.settings.losses import AttributeLossSettings as AttributeLossSettings
from pipeline.settings.losses import LossSettings as LossSettings
from pipeline.settings.members import ChainSettings as ChainSettings
from pipeline.settings.members import CurveSettings as CurveSettings
from pipeline.settings.members import DistillSettings as DistillSettings
from pipeline.settings.members import PseudoSettings as PseudoSettings
from pipeline.settings.model import ModelSettings as ModelSettings
from pipeline.settings.robustness import RobustnessSettings as RobustnessSettings
from pipeline.settings.training import EarlyStoppingSettings as EarlyStoppingSettings
from pipeline.settings.training import MixSettings as MixSettings
from pipeline.settings.training import TrainSettings as TrainSettings
from pipeline.settings.view_words import expanded


class ImageSettings(Section):
    """From a file to the pixels a model sees."""

    size: Annotated[
        Annotated[Side, Tag("square")] | Annotated[Rectangle, Tag("rectangle")],
        Discriminator(lambda value: "rectangle" if isinstance(value, list) else "square"),
    ] = fact(64, "what models see, px: the side of a square, or [height, width]")
    cache_px: int = fact(512, "images are kept decoded with their longest side ≤ this, px", ge=16, le=4096)
    resize: Literal["squash", "letterbox", "cover"] = fact(
        "squash", "squash: both sides to size; letterbox: pad with white; cover: crop the middle"
    )
    truncated: Literal["quarantine", "allow"] = fact(
        "quarantine", "files that end too early; allow: what is there is used, the rest is grey or black"
    )
    max_megapixels: float = fact(
        180.0, "files that declare more are refused unread: a decompression bomb", gt=0, le=10_000
    )
    # Neutral, as it never changes a decoded image: `drop` makes the images an input of the data instead.
    quarantine: Literal["error", "drop"] = neutral(
        "error", "images that do not decode; drop: left out of training, white where the test set has them"
    )
    cache_gb: float = neutral(
        50.0, "prepared images kept on disk; beyond it, those unused for longest are freed", gt=0
    )

    @field_validator("size")
    @classmethod
    def _square(cls, size: int | list[int]) -> int | list[int]:
        """A square has one spelling, so one content key."""
        return size[0] if isinstance(size, list) and size[0] == size[1] else size

    @property
    def hw(self) -> tuple[int, int]:
        """Height and width that models see, px."""
        return (self.size[0], self.size[1]) if isinstance(self.size, list) else (self.size, self.size)


class CropSettings(Section):
    """Which part of an image is kept, before it is resized; see `pipeline/data/crop.py`."""

    method: Literal["none", "centre", "fixed", "statistics", "own_box"] = fact(
        "none",
        "centre: the middle; fixed: `window`; statistics: one window for all, from the training boxes; "
        "own_box: each image's own box, or the statistics window where it has none",
    )
    share: float = fact(0.8, "centre: share of each side that is kept", gt=0, le=1)
    window: list[Share] | None = fact(
        None, "fixed: left, top, width, height as shares of the image", min_length=4, max_length=4
    )
    boxes: str | None = fact(
        None,
        "boxes.csv (id,x,y,w,h in px of the upright image; relative to competition.root), or a detector: "
        "haar:frontalface_default and other cascades of OpenCV, lbp:frontalface of scikit-image",
    )
    k_std: float = fact(2.0, "statistics: mean box edges ± k standard deviations", ge=0, le=10)
    margin: float = fact(0.2, "own_box: added on each side, as a share of the box's longer side", ge=0, le=5)
    outlier: float = fact(
        3.5, "boxes further than this many robust deviations from the median are dropped", gt=0
    )


class PreprocessSettings(Section):
    """Fixed changes of every image, training and test alike; see `pipeline/data/preprocess.py`."""

    white_balance: Literal["none", "grey_world"] = fact("none", "grey_world: equal mean of red, green, blue")
    saturation: float = fact(1.0, "factor; 0: grey", ge=0, le=5)
    brightness: float = fact(0.0, "added, as a share of white", ge=-1, le=1)
    contrast: float = fact(1.0, "factor about middle grey", ge=0, le=5)
    clahe: float = fact(0.0, "clip limit of local contrast equalisation, 2 is usual; 0: off", ge=0, le=40)
    clahe_tiles: int = fact(4, "tiles of CLAHE along each side", ge=1, le=32)
    sharpen: float = fact(0.0, "amount of unsharp masking, 1 is strong; 0: off", ge=0, le=10)
    function: str | None = fact(
        None, "module:function of your own, on the cropped image before it is resized; docs/plugins.md"
    )


class PreviewSettings(Section):
    """The preview of what training sees."""

    images: int = fact(
        8, "rows of the preview, one image each, every class before a second of any", ge=1, le=64
    )
    draws: int = fact(6, "augmented draws a row: the first epochs of fold 0", ge=1, le=24)
    pairs: int = fact(12, "images on the before and after sheet, half of them of the test set", ge=2, le=100)


class FoldSettings(Section):
    """How the training samples are split."""

    kind: Literal["stratified_group", "stratified", "repeated", "holdout", "bootstrap", "column"] = fact(
        "stratified_group",
        "stratified_group: by class, whole groups; stratified: by image; repeated: stratified_group `repeats`"
        " times; holdout: one split; bootstrap: groups drawn with replacement, the others validate; column",
    )
    n: int = fact(5, "folds, bootstrap draws, or values of `column`; a holdout has one", ge=2, le=50)
    repeats: int | None = fact(None, "how often all n folds are dealt, for kind=repeated", ge=2, le=20)
    valid_share: float | None = fact(None, "share that validates, for kind=holdout", ge=0.05, le=0.5)
    column: str | None = fact(
        None, "for kind=column: it names the fold in which a row validates; empty: it only trains"
    )
    seed: int = fact(0, "which group goes where", ge=0)

    @property
    def splits(self) -> int:
        """How many folds are trained."""
        return {"repeated": self.n * (self.repeats or 1), "holdout": 1}.get(self.kind, self.n)


class CopySettings(Section):
    """Offline copies: augmented once, the same pixels in every epoch, as if they lay on the disk."""

    classes: list[str] | None = fact(
        None, "classes (values of `resample.on`) whose images are copied; None: all", min_length=1
    )
    times: int = fact(1, "copies of each image that resampling kept", ge=1, le=20)
    policy: str = fact("rotate30", "what changes them: a policy, as `augment.policy`")


class ResampleSettings(Section):
    """What a fold's training part shows per epoch; validation is never touched."""

    method: str = fact(
        "none",
        "under: drop from large classes; over: repeat small ones; near_miss, tomek, centroids: drop by"
        " features; smote, adasyn, borderline_smote: make feature rows, for train.strategy=linear_probe;"
        " module:function: a sampler of your own",
    )
    to: Literal["balanced", "cap", "ratio", "counts"] = fact(
        "balanced",
        "balanced: the smallest (dropping) or largest (adding) class; cap: `cap`; ratio: `ratio`; counts:"
        " `counts`",
    )
    cap: int | None = fact(None, "images a class, for to=cap: an upper (under) or lower (over) bound", ge=1)
    ratio: float | None = fact(None, "largest : smallest class afterwards, for to=ratio", ge=1)
    counts: dict[str, Annotated[int, Field(ge=1)]] | None = fact(
        None, "images by class name, for to=counts: bounds as `cap`; classes left out stay", min_length=1
    )
    unit: Literal["image", "group"] = fact(
        "image", "what is dropped or repeated, and counted: images or whole groups"
    )
    on: str = fact("class", "what is balanced: class, or the name of one attribute")
    redraw: bool = fact(False, "draw anew each epoch, for under and over")
    neighbours: int = fact(5, "of near_miss and the smote family; never of the same group", ge=1, le=50)
    features: ModelSettings = fact(
        ModelSettings(), "frozen backbone that says what is near; a linear probe uses its own"
    )
    copies: CopySettings | None = fact(None, "offline copies, made after resampling")
    seed: int = fact(0, "which images are dropped or repeated", ge=0)


# Methods that look at features, and those of them that make rows that no image has.
SYNTHETIC_METHODS = ("smote", "adasyn", "borderline_smote")
FEATURE_METHODS = ("near_miss", "tomek", "centroids", *SYNTHETIC_METHODS)
RESAMPLE_METHODS = ("none", "under", "over", *FEATURE_METHODS)


class AugmentSettings(Section):
    """What training adds to pixels; see `pipeline/data/augment.py`."""

    policy: str = fact(
        "light",
        "a file of configs/augment/ (none, light, upright, medium, heavy, rotate30, trivial, or your own), "
        "a path FILE.yaml, or module:function of your own",
    )


class InferSettings(Section):
    """Test-time augmentation."""

    views: list[str] = fact(
        ["identity", "hflip", "shift(2,2)"],
        "identity, hflip, vflip, shift(dx,dy) px, scale(factor), rotate(degrees), crop(share,x,y), "
        "brightness(factor), blur(sigma), noise(sd), jpeg(quality); fivecrop(share) stands for five crops",
        min_length=1,
    )
    merge: Literal["mean", "fitted"] = fact(
        "mean", "of views: equally, or by weights fitted on OOF, cross-fitted; no model runs again"
    )
    precision: Literal["fp32", "bf16", "fp16", "auto"] = fact(
        "fp32", "of networks; auto: the one each fold was trained in. Features of a linear probe stay fp32"
    )

    @field_validator("views")
    @classmethod
    def _each(cls, views: list[str]) -> list[str]:
        """Every view by itself, as they are kept and keyed."""
        return expanded(views)


class EnsembleSettings(Section):
    """How members become one, see docs/ensembling.md."""

    members: list[str] = fact(
        ["lite0", "small_cnn", "probe"],
        "experiments by name (a+b: overlay b on a); auto: every finished one on these data and folds; "
        "key:PREFIX: a finished inference; file:TEST.csv+OOF.csv: probabilities from elsewhere, the OOF file "
        "if there is one; labels:FILE.csv: a submission of labels, which votes on the test set only",
        min_length=1,
    )
    method: Literal["mean", "weighted", "geometric", "rank", "hard", "greedy", "search", "stacking"] = fact(
        "weighted",
        "mean: equal; weighted: `weights`, or greedy ones; geometric: mean of log p; rank: mean rank in a "
        "class; hard: votes of labels; greedy, search: weights fitted on OOF; stacking: logistic regression "
        "on log p. What is fitted is cross-fitted",
    )
    weights: dict[str, Annotated[float, Field(ge=0)]] | None = fact(
        None,
        "by member, for weighted, geometric, rank, hard, and CSVs without OOF; left out: 1",
        min_length=1,
    )
    temperature: bool = fact(False, "fit a temperature per member on OOF before combining")
    stack_c: float = fact(0.01, "stacking: inverse strength of the penalty", gt=0)
    max_ms: float | None = fact(
        None, "the best blend that takes at most so many ms an image, in batches of 64, as measured", gt=0
    )
    refit: bool = fact(
        False, "predict the test set by each member's refit on all data, with the weight of its folds"
    )


class StatisticsSettings(Section):
    """Intervals."""

    draws: int = fact(2000, "bootstrap resamples of whole groups", ge=100, le=100_000)
    seed: int = fact(0, "of the resamples", ge=0)


class ReportSettings(Section):
    """Reports."""

    thumbnail_px: int = fact(72, "longest side of a thumbnail, px", ge=16, le=512)
    per_class: int = fact(24, "images on a class's contact sheet", ge=1, le=200)
    max_flips: int = fact(5000, "images shown of those whose prediction differs", ge=1, le=20_000)
    judge: int = fact(100, "flips that the page asks a person to judge, or a few more", ge=10, le=5000)
    controls: int = fact(30, "labelled images among them, which measure the person's own error", ge=0, le=500)
    judge_px: int = fact(224, "longest side of a picture to judge, px", ge=32, le=512)
    show_answers: bool = fact(False, "judging shows both predictions from the start")


class EdaSettings(Section):
    """What the data report looks for, and from where on it worries."""

    near_bits: int = fact(
        12, "near-duplicates: perceptual hashes (64 bits) may differ in so many bits", ge=0, le=24
    )
    near_ratio: float = fact(
        0.4, "near-duplicates: at most this share of the distance to other pictures", ge=0, le=1
    )
    near_match: float = fact(
        0.9, "near-duplicates: 8 × 8 thumbnails correlate by at least this much", ge=0, le=1
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


class ReproduceSettings(Section):
    """What `make reproduce` takes for the same, on other hardware; on the same, bytes must be equal."""

    agreement: float = neutral(0.99, "share of test images that must get the same label", gt=0, le=1)
    max_dp: float = neutral(0.02, "largest difference of any probability", ge=0, le=1)


class RuntimeSettings(Section):
    """Where and how loudly; never changes what a result is called."""

    device: Literal["auto", "cpu", "cuda"] = neutral("auto", "auto: a GPU if there is one")
    threads: int | None = neutral(None, "torch threads; None: all cores", ge=1)
    deterministic: bool = neutral(
        True, "on a GPU: only algorithms that give the same bits each time, so that a killed run ends alike"
    )
    workers: Annotated[
        Annotated[Literal["auto"], Tag("word")] | Annotated[int, Field(ge=0, le=128), Tag("number")],
        Discriminator(lambda value: "word" if isinstance(value, str) else "number"),
    ] = neutral("auto", "loader processes; 0: in this process; auto: as many as pay, by timing")
    infer_batch: int = neutral(128, "images per forward pass without gradients", ge=1)
    log_level: Literal["debug", "info", "warning"] = neutral("info", "how much is said")
    home: str = neutral(".", "folder of artifacts/, work/, data/, submissions/ and mlflow.db")
    mlflow: bool = neutral(True, "record runs in MLflow")
    mlflow_uri: str | None = neutral(None, "tracking server; None: MLFLOW_TRACKING_URI or home/mlflow.db")


class Config(Section):
    """All settings."""

    competition: CompetitionSettings = CompetitionSettings()
    images: ImageSettings = ImageSettings()
    crop: CropSettings = CropSettings()
    preprocess: PreprocessSettings = PreprocessSettings()
    folds: FoldSettings = FoldSettings()
    resample: ResampleSettings = ResampleSettings()
    augment: AugmentSettings = AugmentSettings()
    model: ModelSettings = ModelSettings()
    loss: LossSettings = LossSettings()
    train: TrainSettings = TrainSettings()
    infer: InferSettings = InferSettings()
    ensemble: EnsembleSettings = EnsembleSettings()
    decision: DecisionSettings = DecisionSettings()
    statistics: StatisticsSettings = StatisticsSettings()
    report: ReportSettings = ReportSettings()
    eda: EdaSettings = EdaSettings()
    finders: FinderSettings = FinderSettings()
    preview: PreviewSettings = PreviewSettings()
    learning_curve: CurveSettings = CurveSettings()
    explain: ExplainSettings = ExplainSettings()
    robustness: RobustnessSettings = RobustnessSettings()
    reproduce: ReproduceSettings = ReproduceSettings()
    runtime: RuntimeSettings = RuntimeSettings()
