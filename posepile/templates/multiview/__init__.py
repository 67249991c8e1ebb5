"""The dataset ``newdata``."""
