"""``realtime errors``: what an error code means, its cause and its cure. The text is that of docs/reference/errors.md."""

from __future__ import annotations

import re
import shutil
import textwrap
from typing import Annotated, Final

import typer

from engine.postgres.statements.named_queries import folder

__all__ = ["errors", "explanation", "explanations"]

_SECTION: Final = re.compile(r"^## (RT_\d{3}: [^\n]*)\n(.*?)(?=^## |\Z)", re.MULTILINE | re.DOTALL)
_LINK: Final = re.compile(r"\[([^\]]*)\]\([^)]*\)")
_WIDTH: Final = 100


def explanations() -> dict[str, str]:
    """Every code with its section of the page, in Markdown: a title and a list."""
    page = (folder("docs") / "reference" / "errors.md").read_text()
    return {title[:6]: f"{title}\n{body}" for title, body in _SECTION.findall(page)}


def explanation(code: str, width: int = _WIDTH) -> str:
    """What ``code`` means, for a terminal. Raises ``KeyError`` for a code that there is not."""
    title, _, body = explanations()[code].partition("\n")
    plain = _LINK.sub(r"\1", body).replace("**", "").replace("`", "")
    items = [" ".join(item.split()) for item in re.split(r"^\* ", plain, flags=re.MULTILINE) if item.strip()]
    lines = [textwrap.fill(_begun(item), width, initial_indent="  ", subsequent_indent="    ") for item in items]
    return "\n".join([title, *lines])


def _begun(item: str) -> str:
    return item[0].upper() + item[1:]


def errors(
    code: Annotated[str | None, typer.Argument(help="The code, such as RT_006. [default: list all]")] = None,
) -> None:
    """Explain an error code: its cause and its cure."""
    known = explanations()
    if code is None:
        print("\n".join(text.partition("\n")[0] for text in known.values()))
        return
    wanted = code.upper().replace("-", "_").replace("RT0", "RT_0")  # SQLSTATE is written without the underscore
    if wanted not in known:
        raise typer.BadParameter(f"there is no code {code}; there are {', '.join(known)}")
    print(explanation(wanted, min(shutil.get_terminal_size().columns, _WIDTH)))
