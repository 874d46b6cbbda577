"""A person's verdicts about flips, and the score difference that follows from them."""
