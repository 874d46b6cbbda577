"""Stages as memoised functions: needs, keys, building. Knows no room."""
