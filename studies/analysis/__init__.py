"""Rules over records: statistics, finalists, verdicts, importance, comparison."""
