"""What a network takes in, beside the size of its images.

Owns the value that tells it to whoever builds a network. Does not own images (`data/`) or networks
(`nets/model.py`).
"""

from __future__ import annotations

from dataclasses import dataclass

from pipeline.data.channels import RGB
from pipeline.settings.schema import Config


@dataclass(frozen=True)
class Intake:
    """What a network takes in.

    Args:
        channels: of an image.
        images: of every sample; None: their number differs, and the network pools them.
        pool: how it pools several images, see `nets/several.py`.
    """

    channels: int = RGB
    images: int | None = 1
    pool: str = "mean"

    @property
    def depth(self) -> int:
        """Channels of the input, of all images of a sample as far as their number is known."""
        return self.channels * (self.images or 1)

    @property
    def several(self) -> bool:
        """Whether samples may have several images."""
        return self.images != 1

    @staticmethod
    def of(config: Config) -> Intake:
        """From the settings."""
        several = config.competition.images_per_sample
        images = several.fixed if several is not None else 1
        if config.images.pages == "images" or config.images.tiles is not None:
            images = None
        return Intake(config.images.channels, images, config.model.pool_images)


PICTURES = Intake()
