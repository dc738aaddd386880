"""The long-running process: start, reload, stop, and jobs next to the runs."""
