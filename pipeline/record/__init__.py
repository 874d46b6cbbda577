"""Artifacts by content, the record of runs (MLflow) and of searches (Optuna)."""
