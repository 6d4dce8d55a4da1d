"""Exports one configuration: its model, a script, and a model card."""
