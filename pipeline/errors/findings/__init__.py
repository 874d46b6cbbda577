"""Where a run fails: slices, label suspects, calibration, attention."""
