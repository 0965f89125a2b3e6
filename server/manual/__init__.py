"""The documentation as ``realtime dev`` serves it: the pages of ``docs/``, of the version that runs, without a network.

``markdown_page.py`` makes HTML of a page, :func:`routes` serves them below ``/docs``.
"""

from __future__ import annotations

from functools import cache
from html import escape
from http import HTTPStatus
from pathlib import Path
from string import Template
from typing import Final

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute, Mount, Route

from engine.postgres.statements.named_queries import folder
from server.http.pages import PageFiles, html_response, static_files
from server.manual.markdown_page import ManualPage, page_of

__all__ = ["FIRST", "routes"]

FIRST: Final = "/docs/index.md"
"""The page to begin with."""

_NAME: Final = "Bunbase Realtime"
_HERE: Final = Path(__file__).parent


def routes() -> list[BaseRoute]:
    """The pages at their paths below ``docs/``, for instance ``/docs/guides/quickstart.md``, with their images and styles.

    Raises ``FileNotFoundError`` if the installation is incomplete.
    """
    pages = folder("docs")
    known = frozenset(str(path.relative_to(pages)) for path in pages.rglob("*.md"))

    def page(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in known:  # so no name leads out of the folder
            raise HTTPException(HTTPStatus.NOT_FOUND, f"there is no page {name!r} in the documentation; see {FIRST}")
        return html_response(_html(pages / name))

    async def first(request: Request) -> Response:
        return RedirectResponse(FIRST)

    return [
        *static_files("/docs/static", _HERE / "static"),
        Mount("/docs/images", PageFiles(directory=pages / "images")),
        Route("/docs", first),
        Route("/docs/{name:path}", page),
    ]


@cache
def _template() -> Template:
    return Template((_HERE / "page.html").read_text("utf-8"))


def _html(file: Path) -> str:
    """The page in ``file``, made anew each time: a source tree may have changed, and it takes some milliseconds."""
    page = page_of(file.read_text("utf-8"))
    title = page.title if page.title.endswith(_NAME) else f"{page.title} · {_NAME}"
    return _template().substitute(title=escape(title), body=page.body, sections=_sections(page))


def _sections(page: ManualPage) -> str:
    """A list of links; nothing where a page has one section, or none."""
    if len(page.sections) < 2:
        return ""
    items = "".join(f'<li><a href="#{anchor}">{title}</a></li>' for anchor, title in page.sections)
    return f"<ol>{items}</ol>"
