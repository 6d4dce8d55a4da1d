"""Checks of a database: its integrity, its trials and confirmations, and its file system."""
