"""The user's own HyperModel: these modules find its code, load it, and train the models that it builds."""
