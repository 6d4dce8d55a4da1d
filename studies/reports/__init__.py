"""Everything that a user reads: pure functions that turn records and analysis into pages, text, JSON and figures."""
