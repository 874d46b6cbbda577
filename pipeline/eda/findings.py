"""The data report's findings in order of harm.

Owns the order only: each rule lives beside its kind (`judge_copies.py`, `judge_labels.py`,
`judge_pixels.py`), and a new rule is one line here.
"""

from dataclasses import replace

from pipeline.eda.evidence import Evidence
from pipeline.eda.findings_2 import Finding, severity_of
from pipeline.eda.judge_copies import copies
from pipeline.eda.judge_pixels import odd_pixels, odd_shapes, shifted, sizes
from pipeline.eda.label_findings import disagreements, groups, imbalance, straddling, thin_classes
from pipeline.settings.schema import Config


def judge(evidence: Evidence, config: Config, asked: tuple[str, ...] = ()) -> tuple[Finding, ...]:
    """All findings, worst first; equal harm keeps the order of the rules.

    Args:
        evidence: what was counted and measured.
        config: the settings in force, so that nothing is advised that is already on.
        asked: the words that asked for these settings; advised commands start with them.
    """
    found = evidence.survey
    rules = [
        *copies(found, evidence.near),
        *disagreements(found),
        *thin_classes(found, config.folds),
        *straddling(found, evidence.parted),
        *shifted(evidence.shift, config.eda),
        *imbalance(found, config, asked),
        *odd_pixels(evidence.outliers, found, config.eda),
        *odd_shapes(evidence.outliers, found, config.eda),
        *sizes(found, config),
        groups(found),
    ]
    told = [replace(f, severity=severity_of(f.harm, config.eda)) for f in rules]
    return tuple(sorted(told, key=lambda finding: -finding.harm))
