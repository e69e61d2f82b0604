"""Messages of ROS to pairs and from outputs, for the node and without ROS: the same bytes."""
