"""Typed settings: the schema, and loading YAML and overrides into it."""
