"""Ensembling, submissions and the ledger. No torch."""
