"""What a stereo node publishes, live in the browser: `s2m2 view`."""
