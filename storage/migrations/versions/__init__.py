"""One file a revision, each with the one before it."""
