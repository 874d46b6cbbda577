"""The weights that a fold starts from, when they are those of an earlier run's same fold.

Owns building a network on them. Does not own finding them, nor the proof that the earlier fold never
saw this one's validation part (`train/init_from.py`).

Source of growing the images between runs: Howard, fast.ai, progressive resizing; see also Touvron et
al., https://arxiv.org/abs/1906.06423, on why the last epochs belong to the larger size.
"""

import hashlib
from dataclasses import dataclass

from pipeline.core.errors import ModelError
from pipeline.core.samples import LabelSpace
from pipeline.nets.backbones import Size
from pipeline.nets.model import Classifier, build
from pipeline.nets.weights import State, classifier_keys, fit_state
from pipeline.settings.schema import ModelSettings

_BACKBONE = "backbone."


@dataclass(frozen=True)
class Initial:
    """A finished fold's network.

    Args:
        name: what errors call it.
        state: its state dict, on the CPU.
        classes: its classes, in the order of its outputs; none: its outputs are no such classes.
        size: height and width of its images, px.
    """

    name: str
    state: State
    classes: tuple[str, ...]
    size: Size

    @property
    def digest(self) -> str:
        """sha256 of the weights and the classes."""
        sha = hashlib.sha256(repr((self.classes, self.size)).encode())
        for key, value in self.state.items():
            sha.update(key.encode() + value.contiguous().numpy().tobytes())
        return sha.hexdigest()

    def build(self, settings: ModelSettings, space: LabelSpace, seed: int, size: Size) -> Classifier:
        """A network with these weights; its classifier starts at zero unless the classes are the same.

        Args:
            settings: of the network; `weights` is not read.
            space: the classes of the new classifier.
            seed: as in `learn.model.build`.
            size: height and width of the new images, px; a network that is built for one size is built
                for that of these weights and then changed.

        Raises:
            ModelError: the weights are of another network.
        """
        bare = settings.model_copy(update={"weights": "none"})
        network = build(bare, space.n_classes, seed, self.size, space)
        backbone = network.backbone
        state = {key.removeprefix(_BACKBONE): value for key, value in self.state.items()}
        if space.classes != self.classes:
            state = {key: value for key, value in state.items() if key not in classifier_keys(backbone)}
        try:
            fit_state(backbone, state, self.name)
        except ModelError as error:
            raise ModelError(
                f"train.init_from: the weights of {self.name} do not fit {settings.name}",
                error.faults,
                "use the run's own model settings",
            ) from error
        if size != self.size and hasattr(backbone, "set_input_size"):
            backbone.set_input_size(img_size=size)
        return network
