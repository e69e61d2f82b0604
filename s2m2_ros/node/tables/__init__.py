"""The parameters by subject; `node/parameters.py` joins them to the one table."""
