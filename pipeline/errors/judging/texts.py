"""Texts of judging."""
