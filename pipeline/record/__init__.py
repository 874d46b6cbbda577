"""Content-keyed artifacts and the MLflow record of what was done."""
