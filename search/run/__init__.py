"""One run of a study: prepare it, hand out trials, record results, stop and retry."""
