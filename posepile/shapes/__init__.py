"""What most datasets are: from declared facts to units and sequences."""
