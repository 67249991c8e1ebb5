"""Who may do what at a time: locks of the system, and leases where it has none."""
