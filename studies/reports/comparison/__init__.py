"""Compare several studies: what they found, how they differ, and what more training examples change."""
