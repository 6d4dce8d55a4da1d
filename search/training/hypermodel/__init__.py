"""The user's own HyperModel: find its code, load it, and train what it builds."""
