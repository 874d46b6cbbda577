"""What all reports share: templates, drawings, thumbnails, galleries."""
