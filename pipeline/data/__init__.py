"""Tables and images become samples: files read, images decoded and prepared, folds planned."""
