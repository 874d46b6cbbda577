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
    """

    channels: int = RGB

    @property
    def depth(self) -> int:
        """Channels of the input."""
        return self.channels

    @staticmethod
    def of(config: Config) -> Intake:
        """From the settings."""
        return Intake(config.images.channels)


PICTURES = Intake()
