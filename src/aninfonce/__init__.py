"""aninfonce."""
