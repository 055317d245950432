"""What is left of a session: the witnesses' parts, the verdict on them, and one signed statement a session."""
