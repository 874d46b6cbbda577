"""Tables, images, folds, resampling, augmentation and loading."""
