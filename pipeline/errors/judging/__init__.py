"""A person's answers about flips, and the score difference that follows from them."""
