"""The built-in network and its two trainers: compiled, and plain Keras."""
