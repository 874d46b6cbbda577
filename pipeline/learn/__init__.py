"""Models, losses, the training loop and its parts (torch)."""
