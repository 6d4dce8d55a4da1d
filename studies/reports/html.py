"""Write HTML elements and tables; every text is escaped, so that none becomes markup."""

import json
import re
from collections.abc import Iterable, Sequence
from typing import Any

import markupsafe
from markupsafe import Markup

# control characters, surrogates, and characters that change the direction of text
_UNPRINTABLE = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\u202a-\u202e\u2066-\u2069]")

_MOST_NARROW = 4  # columns that fit on a phone
_INLINE_CELL = "border-bottom:1px solid rgba(128,128,128,0.35);padding:0.25em 0.9em 0.25em 0;vertical-align:top"


def clean(text: object, longest: int = 2000) -> str:
    """Replace each unprintable character of a text by "�", and cut the text to `longest` characters."""
    shown = _UNPRINTABLE.sub("\ufffd", str(text))
    return shown if len(shown) <= longest else shown[: longest - 1] + "…"


def escape(text: object, longest: int = 2000) -> Markup:
    """Escape any text that is not markup yet."""
    return text if isinstance(text, Markup) else markupsafe.escape(clean(text, longest))


def element(tag: str, /, *children: object, **attributes: object) -> Markup:
    """Return an HTML element; a child or an attribute that is None is left out.

    The name of an attribute may end with an underscore, such as `class_`. Other underscores become hyphens.

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
    """Return a sentence as markup, with each part between backticks in a `code` element."""
    parts = words.split("`")
    return join(element("code", part) if i % 2 and i < len(parts) - 1 else part for i, part in enumerate(parts))


def join(parts: Iterable[object]) -> Markup:
    """Join parts to one markup, and escape those that are not markup yet."""
    return Markup("".join(escape(part) for part in parts))


def table(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Sequence[int] = (), marked: Sequence[int] = ()
) -> Markup:
    """Return a table. On a phone, each row of a wide table becomes a block, and its cells show their column names.

    Args:
        header: the name of each column.
        rows: the cells of each row; None is shown as "—".
        numbers: the indices of the columns that are aligned to the right.
        marked: the indices of the rows that are highlighted.
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
    """Return a table for a notebook, without a style sheet; the columns `numbers` are aligned to the right."""
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
    """Return JSON that is safe in a script element: it can neither end the element nor start another one."""
    text = json.dumps(document, separators=(",", ":"), allow_nan=False)  # `dumps` escapes everything that is not ASCII
    return text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026")
