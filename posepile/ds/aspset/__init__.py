"""ASPset-510."""
