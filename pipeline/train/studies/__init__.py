"""Studies over many trainings: ablations and learning curves."""
