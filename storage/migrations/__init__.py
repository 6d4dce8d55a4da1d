"""The history of our own tables; Optuna's have one of their own."""
