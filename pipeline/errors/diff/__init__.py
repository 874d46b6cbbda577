"""What changed between two submissions, and where each is wrong."""
