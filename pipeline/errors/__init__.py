"""The error report: the new submission against the best one."""
