"""INRIA Holidays: photographs without people, which are backgrounds."""
