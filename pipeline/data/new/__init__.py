"""`make new`: from files that nobody has described to a configuration that runs."""
