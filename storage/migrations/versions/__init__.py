"""The migrations: one file for each revision, which names the revision before it."""
