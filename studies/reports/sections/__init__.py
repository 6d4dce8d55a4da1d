"""The sections of a report's page, one file each: a pure function from the content to a `Section`, or to None."""
