"""Prediction over the views of test-time augmentation, and models of all data."""
