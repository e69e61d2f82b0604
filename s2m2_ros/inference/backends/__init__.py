"""The ways to compute a disparity; `inference.registry` names them."""
