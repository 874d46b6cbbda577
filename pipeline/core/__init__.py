"""Ground floor: values, errors, seeds, metrics, statistics. Imports nothing of ours."""
