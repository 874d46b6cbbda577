"""What each fold's training part shows: resampled rows, copies, mixed and augmented images."""
