"""The S2M2 network: tensors in, tensors out."""
