"""Other networks than S2M2: their ONNX files, conventions, and checks."""
