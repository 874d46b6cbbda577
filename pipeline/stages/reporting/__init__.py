"""What the error report is made of, gathered from results."""
