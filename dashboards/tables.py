"""Tables: current values, joined into one row per target (or per pair of labels), with links in the cells."""

from collections.abc import Sequence
from typing import Any, Final

from grafana_foundation_sdk.builders import common, dashboard, table
from grafana_foundation_sdk.models import dashboard as dm

from dashboards.panels import Column, Query, asked, framed, mapped, spelled, thresholds

REFS: Final = "ABCDEFGHIJ"


def listing(
    title: str,
    description: str,
    columns: Sequence[Column],
    *,
    empty: str,
    key: str | None = None,
    first: str,
    descending: bool = True,
    width: int = 24,
    height: int = 9,
) -> table.Panel:
    """Columns in their order, a query for each that has an ``expr``.

    Args:
        key: the label that rows are joined by; left out: all labels that the queries share.
        first: the column that it is sorted by.
    """
    panel: table.Panel = framed(table.Panel(), title, description, "none", empty, width, height)
    refs = dict(zip([one.name for one in columns if one.expr], REFS, strict=False))
    for one in columns:
        if one.expr:
            panel = panel.with_target(asked(Query(one.expr), refs[one.name], instant=True, as_table=True))
    join: dict[str, Any] = {"byField": key, "mode": "outer"} if key else {}
    panel = panel.with_transformation(dm.DataTransformerConfig(id_val="joinByField" if key else "merge", options=join))
    panel = panel.with_transformation(_arranged(columns, refs, key))
    for one in columns:
        if properties := list(_properties(one)):
            panel = panel.override_by_name(one.name, properties)
    order = common.TableSortByFieldState().display_name(first).desc(descending)
    return panel.sort_by([order]).color_scheme(dashboard.FieldColor().mode(dm.FieldColorModeId.THRESHOLDS))


def _arranged(columns: Sequence[Column], refs: dict[str, str], key: str | None) -> dm.DataTransformerConfig:
    """Keeps only the given columns, in their order, under their names."""
    values = {name: f"Value #{ref}" if len(refs) > 1 else "Value" for name, ref in refs.items()}
    source = {one.name: one.label or values[one.name] for one in columns}
    dropped = {"Time": True} | {f"Time {n}": True for n in range(1, len(refs) + 1)}
    dropped |= {key: True} if key and key not in source.values() else {}
    dropped |= {value: True for value in values.values() if value not in source.values()}
    return dm.DataTransformerConfig(
        id_val="organize",
        options={
            "excludeByName": dropped,
            "indexByName": {field: place for place, field in enumerate(source.values())},
            "renameByName": {field: name for name, field in source.items()},
        },
    )


def _properties(column: Column) -> Sequence[dm.DynamicConfigValue]:
    made: list[tuple[str, Any]] = [("noValue", column.empty)]
    if not column.label:
        made.append(("unit", column.unit))
    if column.decimals is not None:
        made.append(("decimals", column.decimals))
    if column.names:
        made.append(("mappings", mapped(column.names)))
        made.append(("custom.cellOptions", {"type": "color-background", "mode": "basic"}))
    if column.words:
        made.append(("mappings", spelled(column.words)))
    if column.steps:
        made.append(("thresholds", thresholds(column.steps).build()))
        if not column.gauge:
            made.append(("custom.cellOptions", {"type": "color-text"}))
    if column.gauge:
        made.append(("min", column.gauge[0]))
        made.append(("max", column.gauge[1]))
        made.append(("custom.cellOptions", {"type": "gauge", "mode": "basic", "valueDisplayMode": "text"}))
    if column.links:
        made.append(("links", [link.built().build() for link in column.links]))
    if column.width:
        made.append(("custom.width", column.width))
    return [dm.DynamicConfigValue(key, value) for key, value in made]
