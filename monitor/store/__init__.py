"""The store: SQLModel tables, named queries, Alembic migrations; SQLite or PostgreSQL by URL."""

from monitor.store.answers import half_floats
from monitor.store.findings import More, Overtaken
from monitor.store.history import Position
from monitor.store.store import Store, StoreReader, open_store

__all__ = ["More", "Overtaken", "Position", "Store", "StoreReader", "half_floats", "open_store"]
