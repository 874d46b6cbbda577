"""The home page: one page that leads to everything that was made here."""
