"""The mathematics of combining predictions: soft voting, weights, stacking."""
