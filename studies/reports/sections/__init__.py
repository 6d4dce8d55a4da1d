"""The sections of a report's page, one file each.

A section's file has a pure function `section` from the report's data to a `Section`, or to None if there is nothing to
show. The figures that it draws stand in the same file, unless they are long. A new section is one file here and one
name in the list of `page.py`.
"""
