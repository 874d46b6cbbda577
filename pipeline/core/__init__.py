"""Values and mathematics: samples, predictions, metrics, statistics, seeds, errors."""
