"""Write a report as one self-contained HTML page that never loads anything from elsewhere.

The page contains Plotly once. A strict content security policy allows only two scripts, by their hashes. So text from
a database cannot run as a script, even if it is not escaped. The same content always gives the same bytes.
"""

import base64
import hashlib
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

import plotly.offline
from markupsafe import Markup

from .data import ReportData
from .figures.figure import Figure
from .html import as_json_block, element
from .sections import (
    answer,
    cost,
    epochs_by_patience,
    gains,
    history,
    importance_shares,
    ladder_steps,
    learning_curves,
    parallel_coordinates,
    recipes,
    reproduce,
    strength_curves,
    techniques,
    unfinished,
)
from .sections.section import Section

_SECTIONS = (
    answer,
    techniques,
    gains,
    strength_curves,
    recipes,
    ladder_steps,
    history,
    learning_curves,
    parallel_coordinates,
    importance_shares,
    epochs_by_patience,
    unfinished,
    cost,
    reproduce,
)
"""The modules of the sections, in the order of the page."""


def as_html(content: ReportData) -> str:
    """Return the whole page; the caller must write it as UTF-8."""
    return page_of(content.answer.study.name, "regsearch report", _sections(content))


def titled_figures(content: ReportData) -> dict[str, tuple[str, Figure]]:
    """Return the figures of the page by id, each with its section's title; those for narrow screens are left out."""
    return {
        figure.id: (section.title, figure)
        for section in _sections(content)
        for figure in section.figures
        if figure.screen != "on-narrow"
    }


def _sections(content: ReportData) -> list[Section]:
    sections = (module.section(content) for module in _SECTIONS)
    return [section for section in sections if section is not None]


def page_of(name: str, brand: str, sections: Sequence[Section]) -> str:
    """Return a page with the heading `name`, the small line `brand` above the heading, and the sections below."""
    scripts = (str(plotly.offline.get_plotlyjs()), _resource("page.js"))
    head = element(
        "head",
        _void("meta", charset="utf-8"),
        _void("meta", http_equiv="Content-Security-Policy", content=_policy(scripts)),
        _void("meta", name="viewport", content="width=device-width, initial-scale=1"),
        _void("meta", name="referrer", content="no-referrer"),
        _void("meta", name="color-scheme", content="light dark"),
        element("title", f"{name} – regsearch"),
        Markup(f"<style>{_resource('page.css')}</style>"),
    )
    body = element(
        "body",
        element(
            "header",
            element("p", brand, class_="brand"),
            element("h1", name),
            _contents(sections),
        ),
        element("main", *(_section(section) for section in sections)),
        element(
            "noscript", element("p", "The figures need JavaScript; the rest of this page does not.", class_="note")
        ),
        Markup(f'<script type="application/json" id="figures">{as_json_block(_figures(sections))}</script>'),
        *(Markup(f"<script>{script}</script>") for script in scripts),
    )
    return f"<!doctype html>\n{element('html', head, body, lang='en')}\n"


def _section(section: Section) -> Markup:
    return element("section", element("h2", section.title), section.body, id=section.id)


def _contents(sections: Sequence[Section]) -> Markup:
    links = (element("a", section.title, href=f"#{section.id}") for section in sections)
    return element("nav", *links, aria_label="Contents")


def _figures(sections: Sequence[Section]) -> list[dict[str, Any]]:
    return [
        {"id": f"figure-{figure.id}", "data": list(figure.data), "layout": {**figure.layout, "height": figure.height}}
        for section in sections
        for figure in section.figures
    ]


def _policy(scripts: Sequence[str]) -> str:
    hashes = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{value}'" for value in hashes)
    # 'unsafe-inline', because Plotly writes its own style elements and attributes
    return (
        f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:; "
        "base-uri 'none'; form-action 'none'"
    )


def _void(tag: str, **attributes: object) -> Markup:
    return Markup(element(tag, **attributes).removesuffix(f"</{tag}>"))


def _resource(name: str) -> str:
    return files("regsearch.studies.reports").joinpath(name).read_text(encoding="utf-8")
