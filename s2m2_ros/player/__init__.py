"""`stereo_player`: publishes stereo pairs from files or a recording as a camera driver would."""
