"""The demo competitions, made from packages."""
