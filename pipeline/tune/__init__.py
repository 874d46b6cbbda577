"""Optuna over every room's settings."""
