"""The ROS boundary: messages, parameters, synchronization, worker, lifecycle."""
