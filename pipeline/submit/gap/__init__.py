"""Why the public score differs from the out-of-fold score."""
