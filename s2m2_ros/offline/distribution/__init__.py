"""Processing of recordings by many machines, through Ray."""
