"""The code that depends on Optuna's internals: check all of it when Optuna is upgraded."""
