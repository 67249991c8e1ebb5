"""JTA (Joint Track Auto): crowds in a computer game, with joints in the camera's axes."""
