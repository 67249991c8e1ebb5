"""Writing our archives in other people's formats."""
