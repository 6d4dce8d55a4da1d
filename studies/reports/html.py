"""HTML elements and tables in which every text is shown as it is, and none becomes markup."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import markupsafe
from markupsafe import Markup

# control characters, surrogates, and marks that change the direction of the text that follows
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_MOST_NARROW = 4  # columns that fit on a phone
_INLINE_CELL = "border-bottom:1px solid rgba(128,128,128,0.35);padding:0.25em 0.9em 0.25em 0;vertical-align:top"


def clean(text: object, longest: int = 2000) -> str:
    """Return a text that every page can show, cut to `longest` characters."""
    shown = _UNPRINTABLE.sub("\ufffd", str(text))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def escape(text: object, longest: int = 2000) -> Markup:
    """Return markup as it is, and escape any other text."""
    return text if isinstance(text, Markup) else markupsafe.escape(clean(text, longest))


def element(tag: str, /, *children: object, **attributes: object) -> Markup:
    """Return an element; a child or an attribute that is None is left out.

    An attribute's name may end with an underscore (`class_`); other underscores become hyphens.

    Example:
        >>> element("p", "a < b", class_="note")
        Markup('<p class="note">a &lt; b</p>')
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{markupsafe.escape(clean(value))}"'
        for name, value in attributes.items()
        if value is not None
    )
    inner = "".join(escape(child) for child in children if child is not None)
    return Markup(f"<{tag}{written}>{inner}</{tag}>")


def mark_code(words: str) -> Markup:
    """Return a sentence whose parts between backticks, such as a command, are code."""
    parts = words.split("`")
    return join(element("code", part) if i % 2 and i < len(parts) - 1 else part for i, part in enumerate(parts))


def join(parts: Iterable[object]) -> Markup:
    """Return parts one after another, escaped if they are not markup."""
    return Markup("".join(escape(part) for part in parts))


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = (), marked: Sequence[int] = ()
) -> Markup:
    """Return a table; on a phone, each row of a wide one becomes a block whose cells repeat their column's name.

    Args:
        header: the name of each column.
        rows: the cells; None is an empty one.
        numbers: the indices of columns that are aligned to the right.
        marked: the indices of rows that stand out.
    """
    kind = ["number" if column in numbers else None for column in range(len(header))]
    head = element("tr", *(element("th", name, scope="col", class_=kind[i]) for i, name in enumerate(header)))
    body = [
        element(
            "tr",
            *(
                element("td", element("div", "—" if cell is None else cell), data_name=header[i], class_=kind[i])
                for i, cell in enumerate(row)
            ),
            class_="marked" if index in marked else None,
        )
        for index, row in enumerate(rows)
    ]
    inner = element("table", element("thead", head), element("tbody", *body))
    return element("div", inner, class_="table wide" if len(header) > _MOST_NARROW else "table")


def inline_table(header: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = ()) -> Markup:
    """Return a table that needs no style sheet, for a notebook; the columns `numbers` are aligned to the right."""
    styles = [
        f"{_INLINE_CELL};text-align:{'right;white-space:nowrap' if column in numbers else 'left'}"
        for column in range(len(header))
    ]
    head, *body = (
        element("tr", *(element(tag, cell, style=style) for cell, style in zip(row, styles, strict=True)))
        for tag, row in (("th", header), *(("td", row) for row in rows))
    )
    return element("table", element("thead", head), element("tbody", *body), style="border-collapse:collapse")


def as_json_block(document: Any) -> str:
    """Return JSON that cannot end its script element or start another one."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)  # only ASCII is left unescaped
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
