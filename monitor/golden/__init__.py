"""Import of evaluation data of other tools as golden items: one module a format, and one entry in ``formats``."""
