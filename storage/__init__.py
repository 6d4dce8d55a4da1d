"""The database: it holds Optuna's tables and regsearch's tables. One transaction can write to both."""
