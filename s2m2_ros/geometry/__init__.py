"""What a disparity means in metres."""
