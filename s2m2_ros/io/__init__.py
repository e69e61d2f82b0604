"""Files and messages as arrays; imports no rclpy, so it works on the messages of rosbags too."""
