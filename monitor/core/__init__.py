"""What every other package builds on: records of what exists, and no work."""
