"""The sections of the report page, one file each.

Each file has a pure function `section`. It turns the data of the report into a `Section`, or into None if there is
nothing to show. The code of its figures is in the same file, unless it is long. To add a section, add a file here and
its name to the list in `page.py`.
"""
