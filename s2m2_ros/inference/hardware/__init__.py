"""What differs between processors and GPUs: devices, their memory, precision and time."""
