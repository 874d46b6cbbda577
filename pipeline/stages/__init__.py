"""One file per Makefile target, and the registry that names them."""
