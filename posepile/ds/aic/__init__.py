"""AI Challenger 2017: people in web photographs, 14 key points."""
