"""From topics to pairs with their calibration."""
