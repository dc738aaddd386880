"""The store: SQLModel tables, named queries, Alembic migrations; SQLite or PostgreSQL by URL."""

from monitor.store.store import Store, open_store

__all__ = ["Store", "open_store"]
