"""The built-in network and its two trainers: one trains with compiled functions, the other with plain Keras."""
