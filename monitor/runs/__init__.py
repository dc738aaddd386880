"""One run from due to recorded: what is asked, what is read, what the verdict is."""
