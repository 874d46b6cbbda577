"""What becomes of a submission: provenance, the host's scores, handing it in."""
