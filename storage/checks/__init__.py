"""Checks of a database: integrity, damaged trials and confirmations, the file system."""
