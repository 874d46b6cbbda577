"""Predicting images that no competition table lists: the predictor of a submission, as a folder, anywhere."""
