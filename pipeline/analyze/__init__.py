"""Reports: exploring the data and comparing predictions. No torch."""
