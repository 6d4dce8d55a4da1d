"""Everything that relies on Optuna's internals, in one place to review when Optuna is upgraded."""
