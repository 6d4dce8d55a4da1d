"""Several studies side by side: what they found, where they differ, and what more training rows change."""
