"""What is in the data, worst harm first."""
