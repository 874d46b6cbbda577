"""What the network sees: attribution, activation, synthesis, embedding."""
