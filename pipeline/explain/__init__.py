"""What a trained network sees: attribution, activations, synthesis, embeddings (torch)."""
