"""Stereo pairs in rosbag2, MCAP and ROS 1 recordings."""
