"""Tables in Markdown, and their places in the documentation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """The first column to the left, the others to the right."""
    rule = [":--"] + ["--:"] * (len(header) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *rows))


def filled(page: str, content: Mapping[str, str]) -> str:
    """The page with its tables replaced: each stands between `<!-- NAME -->` and `<!-- /NAME -->`.

    Raises:
        ValueError: if a table has no place in the page.
    """
    for name, text in content.items():
        start, end = f"<!-- {name} -->", f"<!-- /{name} -->"
        if page.count(start) != 1 or page.count(end) != 1 or page.index(start) > page.index(end):
            raise ValueError(f"the page must have one place {start} … {end}")
        before, rest = page.split(start)
        page = f"{before}{start}\n{text}\n{end}{rest.split(end)[1]}"
    return page
