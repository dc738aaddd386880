"""The weekly e-mail: what a store's last week comes to, as a message, and how it is handed to a server.

``facts`` reads, ``report`` judges what is worth telling, ``page`` writes it down, ``message`` packs it, ``smtp`` sends.
All but the first and the last are pure functions.
"""
