"""What is searched: study files, the search space, and the values that describe one trial."""
