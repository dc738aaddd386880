"""One run from due to recorded."""
