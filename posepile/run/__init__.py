"""Running stages over units: keys, locks, executors, journal."""
