"""Stores that an earlier version wrote, and what it said of them."""
