"""Submissions: provenance, the ledger, validating, handing in, reproducing."""
