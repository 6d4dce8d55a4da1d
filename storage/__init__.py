"""Persistence: Optuna's tables and our own, in one database and one transaction."""
