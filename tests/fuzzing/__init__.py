"""The fuzzer of all that reads files of others: ``make fuzz``."""
