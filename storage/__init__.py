"""The database: it holds Optuna's tables and those of regsearch, which one transaction writes together."""
