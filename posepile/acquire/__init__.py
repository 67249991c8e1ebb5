"""From the web to the disk: sources, plan, transfer, extraction, doctor, credentials."""
