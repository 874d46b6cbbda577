"""Training: losses, the loop, heads, teachers; one fold and all folds."""
