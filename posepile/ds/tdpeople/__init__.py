"""3DPeople: dressed synthetic people, one actor rendered by four cameras."""
