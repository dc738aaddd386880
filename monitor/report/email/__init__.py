"""The weekly e-mail: what it says, how it looks, and how it is handed over."""
