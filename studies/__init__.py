"""What a study asks (study files, search spaces) and what it answers (records, analysis, reports)."""
