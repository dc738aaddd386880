"""The long-running process: start, reload, stop, and what runs beside the runs."""
