"""Image files and recordings, processed without ROS running."""
