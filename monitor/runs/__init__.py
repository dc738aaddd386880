"""Executes one run, from schedule to stored result: what is asked, what is read, what the verdict is."""
