"""Texts of advice."""
