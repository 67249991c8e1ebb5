"""The report page: contact sheets and counts, self-contained HTML."""
