"""Members combined into a blend, its cost, and decision rules."""
