"""Functions that draw images, behind the image routes."""
