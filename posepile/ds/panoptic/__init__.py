"""CMU Panoptic Studio: people in a dome seen by 31 HD cameras, 19 joints each."""
