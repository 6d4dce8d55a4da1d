"""The migrations of regsearch's own tables; Optuna migrates its tables itself."""
