"""Where work runs: an executor takes needs and gives back finished results through the store."""
