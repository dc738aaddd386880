"""What every other package may use, and what itself uses none of them: records, settings, words."""
