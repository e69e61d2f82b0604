"""Images in; disparity, visibility and confidence out, on any device."""
