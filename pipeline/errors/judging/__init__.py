"""A person's answers about changed predictions, and what they say of the score."""
