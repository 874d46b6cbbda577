"""Running trained members over views of images (torch)."""
