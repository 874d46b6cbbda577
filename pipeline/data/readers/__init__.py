"""Readers of images that are no image files: numbers in a table, HDF5, NumPy arrays, DICOM."""
