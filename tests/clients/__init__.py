"""Other people's clients, unmodified, against processes of ours."""
