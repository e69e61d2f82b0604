"""The ROS boundary: messages, parameters, synchronisation, worker, lifecycle."""
