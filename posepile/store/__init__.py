"""The archive: its codec, table, example lists, parts, index, packing, reading, verifying."""
