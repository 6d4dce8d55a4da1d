"""The built-in network and its two trainers: a compiled one, and one that uses plain Keras."""
