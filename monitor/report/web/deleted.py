"""What a page says where data of a run was deleted."""

from typing import TYPE_CHECKING

from monitor.core.records import DataKind, DeletedWhy, Deletion
from monitor.core.texts import deleted_text

if TYPE_CHECKING:
    from monitor.store import StoreReader


def texts_of(store: "StoreReader", run_id: int) -> Deletion | None:
    """Why no text of a run is there: the retention, or ``keep: hashes``; ``None`` if texts are there."""
    for one in store.deletions([run_id]):
        if one.kind is DataKind.TEXTS and one.why is not DeletedWhy.FORGOTTEN:
            return one
    return None


def notes(store: "StoreReader", run_id: int) -> list[str]:
    """What is missing of a run, one line for each kind of data."""
    found = []
    for one in store.deletions([run_id]):
        if one.why is DeletedWhy.FORGOTTEN:
            found.append(f"inputs of a person, with their answers: {deleted_text(None)}")
        elif one.why is DeletedWhy.NOT_KEPT:
            found.append("Texts are not stored (keep: hashes).")
        else:
            found.append(f"{one.kind.value} {deleted_text(one.days)}")
    return found
