"""Sections of what a user reads: pure functions over query results."""
