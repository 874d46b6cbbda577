"""Texts of the findings that are written in Python: suspects, slices, calibration, attention, and why.

Each is a template with named placeholders. The HTML templates are in `errors/templates/`.
"""

# Planted faults.
FINDER_SCORES = "{name}: F1 {f1:.3f}, precision {precision:.3f}, recall {recall:.3f}"
