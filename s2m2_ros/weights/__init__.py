"""Which checkpoints exist, where they live, and how they are fetched and verified."""
