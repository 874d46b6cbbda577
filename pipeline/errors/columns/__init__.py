"""The error report where an image has several answers: labels that hold together, values, shares."""
