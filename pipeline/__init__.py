"""Podium: from raw images to a competition submission, and what to try next."""
