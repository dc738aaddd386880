"""A finding in words: the only place where its state, cause and advice become sentences."""
