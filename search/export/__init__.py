"""Exports one trained configuration: the Keras model, a script, the settings, and a model card."""
