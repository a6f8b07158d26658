"""Every public view and column is described in the database, and docs/sql.md says the same."""

import os
from pathlib import Path

from sqlalchemy import Engine, text

PAGE = Path(__file__).parents[2] / "docs" / "sql.md"
MARK = "<!-- From the comments in the database: `make golden` renews what follows. -->\n"

_COMMENTS = text("""
    SELECT relname AS view, obj_description(pg_class.oid) AS meaning, attname AS name,
        format_type(atttypid, atttypmod) AS type, col_description(pg_class.oid, attnum) AS said
    FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
    WHERE relkind = 'v' AND relnamespace = 'public'::regnamespace
    ORDER BY relname, attnum
""")


def test_every_view_and_column_has_a_comment(engine: Engine) -> None:
    with engine.connect() as connection:
        rows = connection.execute(_COMMENTS).all()
    assert [f"{row.view}.{row.name}" for row in rows if not (row.said and row.meaning)] == []


def test_the_page_says_what_the_comments_say(engine: Engine) -> None:
    with engine.connect() as connection:
        rows = connection.execute(_COMMENTS).all()
    page: list[str] = []
    for view in dict.fromkeys(row.view for row in rows):
        mine = [row for row in rows if row.view == view]
        page += ["", f"### {view}", "", mine[0].meaning, "", "| column | type | meaning |", "| --- | --- | --- |"]
        page += [f"| `{row.name}` | {row.type} | {row.said} |" for row in mine]
    head, _, _ = PAGE.read_text().partition(MARK)
    wanted = head + MARK + "\n".join(page) + "\n"
    if os.environ.get("RENEW_GOLDEN"):
        PAGE.write_text(wanted)
    assert PAGE.read_text() == wanted
