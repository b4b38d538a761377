"""The gap between theory and practice: one assumption of the theorem is broken at a time, to a rising degree."""
