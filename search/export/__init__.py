"""Export: the model, a script and a model card of one configuration."""
