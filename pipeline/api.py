"""What a notebook or a script of your own may use of Podium.

Everything in `__all__` is public: a change of it stands in the CHANGELOG. Every other module is private, and
may change without a word. This module reads finished results, combines and scores predictions, predicts new
images, and holds the signatures of plug-ins; it builds nothing (that is what the commands are for) and
imports neither torch nor MLflow nor Optuna; naming `Predictor` imports torch. `docs/api.md` is its page. The
examples below are run by `tests/test_api.py`.

Letters in names give an array's axes: N samples, C classes, V views, H × W pixels, B rows of a batch.

Finished results
    Shelf            the finished results of one competition; `Shelf.open()` finds them.
    Artifact         one finished result: its `folder`, `metrics`, and what it was made with.
    read_samples     the images of one split ("train" or "test") with groups and labels, of a data result.
    read_folds       the fold plan, of a folds result.
    read_oof         the pooled out-of-fold probabilities, of a train, infer or ensemble result.
    read_test        the test probabilities, of an infer or ensemble result.
    read_views       the probabilities of every test-time view, of a views result.
    read_images      a function from (split, id) to pixels, of an images result.

New images
    Predictor        everything that a submission is made of: `Predictor.load(folder)` reads what `make
                     predict` or `make bundle` wrote, and `predict(images, ids, groups, metadata=…)` answers
                     paths, bytes of image files, arrays, a folder or a table. docs/predict.md.
    Answers          what it answers: `p`, the `Probabilities`; `unreadable`; `notes`.

>>> shelf = Shelf.open(competition="digits")  # in $PODIUM_HOME, or in the current folder
>>> infer = shelf.newest("infer", "tiny_resnet")
>>> made_of = shelf.inputs(infer)  # the results that it was made of, by name
>>> train = read_samples(made_of["data"], "train", shelf.home)
>>> oof, test = read_oof(infer, "oof"), read_test(infer, "test")
>>> oof.p_NC.shape == (len(train), train.space.n_classes)
True
>>> truth = train.take(oof.ids_N).labels  # joined by id, never by position
>>> 0 < get_metric("accuracy").score(truth, oof.p_NC) < 1
True

Values
    Samples, LabelSpace, Attribute    images with ids, groups and labels; the classes; one thing labelled.
    FoldPlan                          which ids train and which validate, fold by fold.
    Probabilities                     (N, C) probabilities with ids and class names; checks itself.
    ViewProbabilities                 (V, N, C), one block a test-time view.
    Interval, Comparison              a score, or a difference, with its 95 % interval over groups.
    UserError                         the base class of all errors that a user can correct.

>>> import numpy as np
>>> ids = np.array(["a", "b", "c", "d", "e", "f"])
>>> y = np.array([0, 1, 0, 1, 0, 1])  # index of the true class, in the order of `ids`
>>> def member(name, right):
...     p_dog = np.where(y == 1, right, 1 - np.array(right))
...     return Probabilities(ids, ("cat", "dog"), np.stack([1 - p_dog, p_dog], axis=1), name)
>>> lite = member("lite", [0.9, 0.8, 0.4, 0.7, 0.6, 0.9])
>>> probe = member("probe", [0.8, 0.3, 0.7, 0.6, 0.8, 0.9])
>>> lite.labels()
array([0, 1, 1, 1, 0, 1])

Combining
    align              predictions with the same ids in the same order, joined by id; other ids are an error.
    soft_vote          the weighted mean of members' probabilities.
    combine, RULES     the same by another rule: "mean", "geometric", "rank", "hard".
    disagreement       the share of images on which two members give another answer, every pair.
    fit_weights        weights by greedy selection; equal ones where nothing is gained.
    Recipe, cross_fit  how to combine; and a blend with its naive and its cross-fitted score, whose
                       `fitted.apply(members, name)` votes on other images, such as the test set.

>>> shuffled = probe.take(ids[::-1])
>>> blend = soft_vote([lite, shuffled], [2, 1], "blend")
>>> blend.ids_N.tolist() == ids.tolist(), blend.labels().tolist()
(True, [0, 1, 0, 1, 0, 1])
>>> disagreement([lite, probe]).round(2).tolist()
[[0.0, 0.33], [0.33, 0.0]]
>>> fitted, pooled = cross_fit([lite, probe], y, [ids[:3], ids[3:]], get_metric("accuracy"), "mean")
>>> fitted.weights, fitted.naive, fitted.crossfitted
((0.5, 0.5), 1.0, 1.0)

Scores
    METRICS, Metric    the registry, and what a metric is: `score`, `score_labels`, its direction and range.
    get_metric         a metric by its name, or by `module:function` of your own.
    confusion          (C, C) counts, rows the truth.
    per_class          precision, recall, F1 and support of each class.
    attribute_scores   macro F1 of each attribute by itself.
    interval           a score with its interval; whole groups are resampled.
    compare            whether one set of predictions is better than another: better, worse or can't tell.
    groups_to_tell     about how many groups it would take to tell.
    find_mistakes      what goes wrong out of fold: confusions, worst classes, sure errors.

>>> get_metric("macro_f1").score(y, lite.p_NC).__round__(3)
0.829
>>> per_class(y, lite.labels(), 2).recall_C.round(2).tolist()
[0.67, 1.0]
>>> groups = np.array(["p1", "p1", "p2", "p2", "p3", "p3"])  # photos of one person belong together
>>> found = compare(get_metric("accuracy"), y, blend.p_NC, lite.p_NC, groups, draws=200, seed=0)
>>> found.verdict, found.n_groups
("can't tell", 3)
>>> find_mistakes(oof, train).n_images == len(train)
True

Drawing
    Curve, draw_curves    curves as an SVG.
    picture_grid          images in a grid with captions, as one picture that any viewer shows.
    thumbnail             an image as a data URI, to put into HTML.

>>> print(draw_curves([Curve("loss", [1, 2, 3], [0.9, 0.5, 0.4])], "loss by epoch", "epoch", "loss")[:7])
<figure
>>> picture_grid([np.zeros((8, 8, 3), np.uint8)] * 3, ["a", "b", "c"], columns=2, size_px=32).size
(82, 108)

Plug-ins: what a function of your own is called with (docs/plugins.md has an example of each)
    ModelFunction, LossFunction, AugmentationFunction, SamplerFunction, PreprocessingFunction,
    PostprocessingFunction, MetricFunction, SampleMetricFunction

>>> def brighter(image_HWC, rng):
...     return np.minimum(image_HWC + rng.integers(0, 20), 255).astype(np.uint8)
>>> chosen: AugmentationFunction = brighter
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.core.errors import UserError
from pipeline.core.metrics import METRICS, Metric, attribute_scores, confusion, per_class
from pipeline.core.metrics import get as get_metric
from pipeline.core.predictions import Comparison, Interval, Probabilities, ViewProbabilities, align
from pipeline.core.samples import Attribute, Floats, FoldPlan, Ints, LabelSpace, Samples, Strings
from pipeline.core.statistics import compare, groups_to_tell, interval
from pipeline.core.voting.fitting import Recipe, cross_fit, fit_weights
from pipeline.core.voting.soft_voting import RULES, combine, disagreement, soft_vote
from pipeline.data.load import image_of as read_images
from pipeline.data.load import oof as read_oof
from pipeline.data.load import plan as read_folds
from pipeline.data.load import samples as read_samples
from pipeline.data.load import test as read_test
from pipeline.data.load import views as read_views
from pipeline.errors.diff.mistakes import find_mistakes
from pipeline.pages.picture_grid import picture_grid
from pipeline.pages.plots import Curve
from pipeline.pages.plots import curves as draw_curves
from pipeline.pages.report import thumbnail
from pipeline.record.shelf import Shelf
from pipeline.record.store import Artifact

if TYPE_CHECKING:
    from torch import Tensor, nn

    from pipeline.predict.predictor import Answers, Predictor

__all__ = [
    "METRICS",
    "RULES",
    "Answers",
    "Artifact",
    "Attribute",
    "AugmentationFunction",
    "Comparison",
    "Curve",
    "FoldPlan",
    "Interval",
    "LabelSpace",
    "LossFunction",
    "Metric",
    "MetricFunction",
    "ModelFunction",
    "PostprocessingFunction",
    "Predictor",
    "PreprocessingFunction",
    "Probabilities",
    "Recipe",
    "SampleMetricFunction",
    "SamplerFunction",
    "Samples",
    "Shelf",
    "UserError",
    "ViewProbabilities",
    "align",
    "attribute_scores",
    "combine",
    "compare",
    "confusion",
    "cross_fit",
    "disagreement",
    "draw_curves",
    "find_mistakes",
    "fit_weights",
    "get_metric",
    "groups_to_tell",
    "interval",
    "per_class",
    "picture_grid",
    "read_folds",
    "read_images",
    "read_oof",
    "read_samples",
    "read_test",
    "read_views",
    "soft_vote",
    "thumbnail",
]

Pixels = npt.NDArray[np.uint8]


def __getattr__(name: str) -> Any:
    """`Predictor` and `Answers`, which need torch, where they are first named."""
    if name in ("Predictor", "Answers"):
        from pipeline.predict import predictor

        return getattr(predictor, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class ModelFunction(Protocol):
    """`model.name`: makes a network from (B, 3, H, W) to (B, n_classes) logits.

    It is called with keywords, and gets `size` (height, width in px), `drop_rate` and `drop_path_rate` only
    if it has a parameter of that name. Pixels are normalised by the mean and standard deviation of ImageNet,
    or by those of the module's `pretrained_cfg` if it has one, as models of timm do. For a linear probe the
    module needs `forward_features(x)` and `forward_head(maps, pre_logits=True)`.
    """

    def __call__(self, n_classes: int, *args: Any, **kwargs: Any) -> nn.Module:
        """A network; its weights are drawn from the fold's seed."""


class LossFunction(Protocol):
    """`loss.name`: one loss a row; the loop sums them and divides by the weights.

    An attribute `soft_targets = False` says: plain labels only. Before training starts it is called once,
    forward and backward: another shape, values that are not finite and a missing gradient are errors. Of
    labels and values the targets are 0 or 1 and numbers in the unit of the table, with NaN where they are
    unknown: such cells are left out with `torch.where`. Rows of which nothing is known come as zeros and do
    not count.
    """

    def __call__(self, logits_BC: Tensor, target_BC: Tensor, /) -> Tensor:
        """(B,) losses of float32 logits and of targets that are distributions over the classes."""


class AugmentationFunction(Protocol):
    """`augment.policy`, `resample.copies.policy`: changes one image of training.

    An attribute `does`, a tuple of words, says what it changes: hflip, vflip, rotation, geometry, crop,
    brightness, colour, blur, erase. It is only needed where a label forbids something.
    """

    def __call__(self, image_HWC: Pixels, rng: np.random.Generator, /) -> Pixels:
        """An RGB image of the same shape."""


class SamplerFunction(Protocol):
    """`resample.method`: which rows of a fold's training part are shown, and how often.

    With `resample.redraw=true` it is called for each epoch; with `resample.on=age` the labels are those of
    that attribute.
    """

    def __call__(self, labels_N: Ints, groups_N: Strings, fold: int, rng: np.random.Generator, /) -> Ints:
        """Positions in `labels_N`, in any order, as often as each row is to be shown."""


class PreprocessingFunction(Protocol):
    """`preprocess.function`: changes every image once, without randomness; the result is kept on disk.

    It is called for training and test images alike, after the crop and before resizing and the other steps of
    `preprocess`.
    """

    def __call__(self, image_HWC: Pixels, /) -> Pixels:
        """An RGB image of any size. It is called from several threads."""


class PostprocessingFunction(Protocol):
    """A step of `decision.steps`: changes probabilities out of fold and of the test set alike.

    It is called for the test set and for the validation part of each fold, and sees no label.
    """

    def __call__(
        self, p_NC: Floats, ids_N: Strings, groups_N: Strings, classes: tuple[str, ...], /
    ) -> npt.NDArray[np.floating[Any]]:
        """(N, C) probabilities whose rows sum to 1."""


class MetricFunction(Protocol):
    """`competition.metric`: one finite number.

    Attributes:
        direction: which way is better.
        needs: whether it is called with the predicted class indices or with (N, C) probabilities.
        minimum: of its range; `maximum` may be given as well, else it is 1.
    """

    direction: Literal["higher", "lower"]
    needs: Literal["labels", "probabilities"]
    minimum: float

    def __call__(self, y_N: Ints, answer: Any, /) -> float:
        """The score of whole arrays, never empty; the order of rows must not matter."""


class SampleMetricFunction(Protocol):
    """`competition.metric` that also reads `competition.metric_columns`; otherwise as `MetricFunction`.

    The columns `id` and `group` are there always. A parameter `names` gets the names of the columns of
    predictions: classes, labels, or `label · level`. Of labels and values the truth has a column each, with
    NaN where it is unknown.
    """

    direction: Literal["higher", "lower"]
    needs: Literal["labels", "probabilities"]
    minimum: float

    def __call__(self, y_N: Any, answer: Any, columns: Mapping[str, npt.NDArray[Any]], /) -> float:
        """`columns`: by name, numbers with NaN for empty cells, or text, a value for each row."""
