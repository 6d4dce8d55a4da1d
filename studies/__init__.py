"""The domain: what is asked (study files, search spaces) and what was answered (records, analysis, reports)."""
