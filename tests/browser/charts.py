"""What a chart has drawn, read back from it."""

from typing import Any

_TRACES = """element => element.querySelector('.plot').data.map(trace => ({
    type: trace.type, name: trace.name, yaxis: trace.yaxis ?? null, fill: trace.fill ?? null, x: [...trace.x],
    y: trace.y ? [...trace.y] : null, z: trace.z ? trace.z.map(row => [...row]) : null,
    points: trace.customdata ?? null, dash: trace.line?.dash ?? null, colour: trace.line?.color ?? null,
}))"""


def chart(page: Any, title: str) -> Any:
    """The figure of this heading, once it is drawn."""
    figure = page.locator("figure.chart").filter(has=page.get_by_role("heading", name=title, exact=True))
    figure.and_(page.locator("[data-drawn]")).wait_for()
    return figure


def traces(page: Any, title: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = chart(page, title).evaluate(_TRACES)
    return found


def query_behind(page: Any, title: str) -> str:
    """The SQL that the chart's menu leads to."""
    figure = chart(page, title)
    figure.locator("summary").click()
    figure.get_by_role("button", name="Query behind it").click()
    page.get_by_role("heading", name="SQL", exact=True).wait_for()
    sql: str = page.get_by_label("Query", exact=True).input_value()
    return sql
