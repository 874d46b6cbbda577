"""The data report: findings about the data, the most harmful first."""
