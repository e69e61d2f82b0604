"""Point clouds in the browser."""
