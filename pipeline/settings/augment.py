"""The section `augment`: how training images are changed at random.

Owns its field. Does not own reading a policy and its effect on labels (`settings/policies.py`) nor its
transforms (`data/augment.py`).
"""

from pipeline.settings.fields import Section, fact


class AugmentSettings(Section):
    """Random changes of training images; see `pipeline/data/augment.py`."""

    policy: str = fact(
        "light",
        "a file of configs/augment/ (none, light, upright, medium, heavy, rotate30, trivial, or your own), "
        "a path FILE.yaml, or module:function of your own",
    )
