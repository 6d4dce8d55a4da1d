"""Several studies side by side: what they found, in what they differ, and what more training examples change."""
