"""Which recipes a command may draw on: a portfolio, or the members that the user named.

Owns the choice of the portfolio, turning a recipe into the settings of a member, and the sizes that it may
have. Does not own the portfolio's format (`settings/portfolio.py`) nor which recipes fit
(`plan/planning.py`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.core.errors import ConfigError
from pipeline.engine import naming
from pipeline.engine.need import Need
from pipeline.engine.session import Session
from pipeline.engine.slices import flat
from pipeline.nets.stages import is_probe
from pipeline.record.store import Artifact
from pipeline.settings import portfolio
from pipeline.settings.ensemble import word_of
from pipeline.settings.images import ImageSettings
from pipeline.settings.load import Settings

# Sides of smaller images, as shares of the recipe's; none is below the smallest.
SMALLER = (1.0, 0.67, 0.5)
SMALLEST = 32
# GPUs with at least so much memory take the portfolio of a large one.
LARGE_GPU = 30e9
PORTFOLIOS = {"cpu": "cpu", "small": "t4", "large": "h100"}
# What one plan may change of a recipe without making another recipe of it.
FREE = ("train.epochs", "infer.views", "train.probe_views")
MEMBERS = "ensemble.members"
# The longest side that is kept of decoded images; a recipe may raise it, for its own images, to the default.
KEPT = "images.cache_px"
KEPT_AT_MOST = int(ImageSettings().cache_px)
# Of how many last stages a head reads the maps, which not every network gives.
STAGES = "model.feature_stages"


@dataclass(frozen=True)
class Recipe:
    """A recipe as settings of a member of this competition.

    Args:
        name: of the recipe, or the words that make it.
        settings: as the recipe says.
        faults: why it cannot be trained here; empty: it can.
        of: the finished member whose place it takes in the plan; empty: it is a new one.
        views_there: how many of its views that member has; it has to predict at least one more.
        is_about_epochs: whether other epochs would make another recipe of it, as of advice to train longer.
    """

    name: str
    settings: Settings
    faults: str = ""
    of: str = ""
    views_there: int = 0
    is_about_epochs: bool = False

    @property
    def kind(self) -> str:
        """As in `planning.Ladder`."""
        return "probe" if is_probe(self.settings) else "network"

    def at(self, **values: Any) -> Settings:
        """Its settings with other epochs, size or views; unchanged ones add no override.

        A head that predicts fewer views trains on no others.
        """
        config = self.settings.config
        if self.kind == "probe" and "views" in values:
            trained = [v for v in config.train.probe_views if v in ("identity", *values["views"])]
            values["probe_views"] = trained
        own = {
            "epochs": ("train.epochs", config.train.epochs),
            "size": ("images.size", config.images.size),
            "views": ("infer.views", config.infer.views),
            "probe_views": ("train.probe_views", config.train.probe_views),
        }
        changed = {own[n][0]: v for n, v in values.items() if v != own[n][1]}
        return self.settings.with_values(changed) if changed else self.settings

    @property
    def sizes(self) -> list[Any]:
        """The sizes that it may have, its own first."""
        config = self.settings.config
        height, width = config.images.hw
        found: list[Any] = [config.images.size]
        for share in SMALLER[1:]:
            sides = [max(round(share * side / 8) * 8, SMALLEST) for side in (height, width)]
            size: Any = sides[0] if height == width else sides
            smaller = all(new < old for new, old in zip(sides, (height, width), strict=True))
            if smaller and size not in found and not self._is_given("images.size"):
                found.append(size)
        return found

    def _is_given(self, path: str) -> bool:
        return any(p == path for p, _ in self.settings.request.values)


def of_user(settings: Settings) -> list[Recipe] | None:
    """The members that the words of a command name; None: they name none, so the portfolio is used."""
    named = dict(settings.request.values).get(MEMBERS)
    if named is None:
        return None
    words = [word_of(str(word)) for word in named]
    return [_recipe(settings, w.name) for w in words if w.kind == "experiment"]


def of_portfolio(settings: Settings, name: str) -> list[Recipe]:
    """The recipes of a portfolio, in its order; those that do not suit the competition have faults.

    Raises:
        ConfigError: there is no such portfolio, or its file has faults.
    """
    listed = portfolio.recipes(settings.folder, name)
    return [_recipe(settings, one.name) for one in listed]


def of_machine(settings: Settings, asked: str, name: str) -> list[Recipe]:
    """The recipes of a portfolio; one not asked for is followed by that of a CPU, which needs no hub."""
    listed = of_portfolio(settings, name)
    if asked or name == PORTFOLIOS["cpu"]:
        return listed
    names = {recipe.name for recipe in listed}
    return [*listed, *(r for r in of_portfolio(settings, PORTFOLIOS["cpu"]) if r.name not in names)]


def portfolio_for(settings: Settings, asked: str, device: str) -> str:
    """The name of the portfolio: as asked, or by the device, which is "cpu" or "cuda"."""
    if asked:
        return asked
    kind = "cpu"
    if device == "cuda":
        import torch

        memory = torch.cuda.get_device_properties(0).total_memory
        kind = "large" if memory >= LARGE_GPU else "small"
    wanted = PORTFOLIOS[kind]
    return wanted if wanted in portfolio.names(settings.folder) else PORTFOLIOS["cpu"]


def _recipe(settings: Settings, name: str) -> Recipe:
    try:
        made = settings.member(name)
    except ConfigError as error:
        enlarged = _enlarged(settings, name)
        if enlarged is None:
            return Recipe(name, settings, "; ".join(error.faults[:2]) or error.headline)
        made = enlarged
    return Recipe(name, _of_last_stage(made))


def _of_last_stage(settings: Settings) -> Settings:
    """Without features of several stages where the user names the network, which may not give them.

    Recipes say how many stages of their own networks pay.
    """
    given = {path for path, _ in settings.request.values}
    if settings.config.model.feature_stages is None or STAGES in given or "model.name" not in given:
        return settings
    return settings.with_values({STAGES: None})


def _enlarged(settings: Settings, name: str) -> Settings | None:
    """A recipe whose images are larger than the competition keeps them; None: that is not its fault.

    Small images, enlarged, suit a network that has learned from large ones: features of digits of 32 px score
    .50 at that size and .80 at 96 px.
    """
    if any(path == KEPT for path, _ in settings.request.values):
        return None
    try:
        images = settings.with_values({KEPT: KEPT_AT_MOST}).member(name).config.images
        needed = max(*images.hw, images.store_px or 0)
        return settings.with_values({KEPT: needed}).member(name)
    except ConfigError:
        return None


def same_recipe(settings: Settings, artifact: Artifact) -> bool:
    """Whether a finished result was made by these settings, its epochs and views aside."""
    now = naming.of_now(settings, artifact)
    return now is not None and _without_free(flat(now)) == _without_free(flat(artifact.manifest["settings"]))


def nearest(settings: Settings, finished: Iterable[Artifact]) -> Artifact | None:
    """The finished result of a recipe whose views are nearest to what it asks for; None: there is none."""
    asked = set(settings.config.infer.views)
    found = (a for a in finished if same_recipe(settings, a))
    return min(found, key=lambda a: len(asked ^ set(a.setting("infer.views") or ())), default=None)


def paused(session: Session, recipe: Recipe) -> int | None:
    """The epochs of a training of this recipe on these folds that stopped within a fold; None: none did."""
    return None if recipe.kind == "probe" else _epochs_of(session, recipe, session.store.begun("fold"))


def begun(session: Session, recipe: Recipe) -> int | None:
    """The epochs with which an earlier command began to train this recipe on these folds; None: it did not.

    Those of the newest checkpoint, or else of the newest finished fold. With these epochs it goes on where it
    stopped; with others it would start again.
    """
    if recipe.kind == "probe":
        return None
    return paused(session, recipe) or _epochs_of(session, recipe, reversed(session.store.all("fold")))


def _epochs_of(session: Session, recipe: Recipe, found: Iterable[Artifact]) -> int | None:
    """The epochs of the first of these folds that belongs to the recipe."""
    folds = f"folds/{session.graph.key(Need('folds', recipe.settings))}"
    for fold in found:
        epochs = int(fold.setting("train.epochs") or 0)
        if recipe.is_about_epochs and epochs != recipe.settings.config.train.epochs:
            continue
        if fold.inputs.get("folds") == folds and same_recipe(recipe.settings, fold):
            return epochs or None
    return None


def _without_free(values: Mapping[str, str]) -> dict[str, str]:
    return {path: text for path, text in values.items() if path not in FREE}


def networks(recipes: Sequence[Recipe]) -> Iterator[Recipe]:
    """Those that train a network, in their order."""
    return (recipe for recipe in recipes if recipe.kind == "network" and not recipe.faults)
