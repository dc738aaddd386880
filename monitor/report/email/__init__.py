"""The weekly e-mail: the summary of a store's last week as a message, and its delivery to a mail server.

``compose`` runs the steps: ``data`` reads the store, ``report`` decides what the mail contains, ``render`` makes HTML
and text, ``message`` builds the MIME message, ``smtp`` sends it. ``report`` and ``render`` are pure functions.
"""
