"""Computes what the recorded trials of a study show: finalists, race, verdicts, importance and comparison."""
