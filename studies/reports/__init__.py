"""What a user reads: pure functions from records and analysis to a page, text, JSON and figures."""
