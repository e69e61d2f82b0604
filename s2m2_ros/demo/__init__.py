"""What `s2m2 demo` does."""
