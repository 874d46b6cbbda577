"""What `make tune` is made of: trials, the re-test, the winner's file, what is told."""
