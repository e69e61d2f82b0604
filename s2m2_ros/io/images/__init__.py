"""Images of files and messages as arrays."""
