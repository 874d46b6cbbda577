"""What makes stages memoised: the registry, keys, building what is missing, and what it will take."""
