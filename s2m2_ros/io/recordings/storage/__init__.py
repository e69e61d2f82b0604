"""The files of recordings: MCAP, SQLite and ROS 1 bags, as far as they are whole."""
